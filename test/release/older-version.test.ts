import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { isRunning } from "../support/process-state.ts";
import { finish, type RunningProcess, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
/**
 * What `git archive 5e643a28 package.json scripts src docs` gives: the last commit before there were releases. A clone may be
 * shallow.
 */
const archive = join(project, "test", "fixtures", "older-sources.tar.xz");
const sources = mkdtempSync(join(tmpdir(), "trainlock-older-"));
const older = join(sources, "dist", "trainlock");

beforeAll(() => {
  execFileSync("tar", ["-x", "-J", "-f", archive, "-C", sources]);
  symlinkSync(join(project, "node_modules"), join(sources, "node_modules"));
  execFileSync("node", [join(sources, "scripts", "build-executable.mjs")], { cwd: sources });
}, 180_000);
afterAll(() => rmSync(sources, { recursive: true, force: true }));

const versions = { older: () => older, "this one": () => executable };
const pairs = [
  ["older", "this one"],
  ["this one", "older"],
] as const;
type Version = keyof typeof versions;

function call(version: Version, args: readonly string[]) {
  return finish(versions[version](), args, { env: environment() });
}

/** A `run` whose command writes its PID, and ends with its input. */
async function hold(version: Version, args: readonly string[]): Promise<RunningProcess & { readonly command: number }> {
  const script = 'echo "HELD $$"; exec cat >/dev/null';
  const running = startProcess(versions[version](), ["run", ...args, "--", "sh", "-c", script], { env: environment() });
  await running.waitFor("\n");
  return Object.assign(running, { command: Number(/^HELD (\d+)$/m.exec(running.stdout())?.[1]) });
}

async function generationOf(version: Version, args: readonly string[]): Promise<number> {
  const run = await call(version, ["run", ...args, "--", "sh", "-c", "echo $TRAINLOCK_GENERATION"]);
  expect(run.exitCode, run.stderr).toBe(0);
  return Number(run.stdout);
}

describe.each(pairs)("what the version %s holds", (holder, other) => {
  test(`is locked for the version ${other}, which lists it as active and clears nothing`, async () => {
    const of = configuration(await temporaryRoot());
    const held = await hold(holder, of.args);
    expect(await call(other, ["check", ...of.args])).toMatchObject({ exitCode: 1 });
    const run = await call(other, ["run", ...of.args, "--", "echo", "trained twice"]);
    expect(run).toMatchObject({ exitCode: 75, stdout: "" });
    const { stdout } = await call(other, ["list", "--root", of.root, "--json"]);
    const statuses = JSON.parse(stdout).locks.map(({ status }: { status: string }) => status);
    expect(statuses).toEqual(["active", "active"]);
    const clear = await call(other, ["clear", "--root", of.root, "--no-dry-run", "--force"]);
    expect(clear).toMatchObject({ exitCode: 0, stdout: "No stale locks found\n" });
    held.closeInput();
    expect(await held.finished).toMatchObject({ exitCode: 0 });
    expect(await call(other, ["check", ...of.args])).toMatchObject({ exitCode: 0 });
    expect((await call(other, ["list", "--root", of.root])).stdout).toBe("No active training locks\n");
  });

  test(`is stale for the version ${other} once it was killed, is cleared or taken over, and generations go on`, async () => {
    const of = configuration(await temporaryRoot());
    expect(await generationOf(other, of.args)).toBe(1);
    for (const next of ["cleared", "taken over"]) {
      const held = await hold(holder, of.args);
      held.kill("SIGKILL");
      process.kill(held.command, "SIGKILL");
      await held.finished;
      await until("the end of the command", () => (isRunning(held.command) ? null : true));
      const { stdout } = await call(other, ["list", "--root", of.root]);
      expect(stdout).toContain("[STALE");
      if (next === "taken over") break;
      const clear = await call(other, ["clear", "--root", of.root, "--no-dry-run"]);
      expect(clear.stdout).toMatch(/^Cleared [12] stale lock/);
    }
    expect(await generationOf(other, of.args)).toBe(4);
    expect(await generationOf(holder, of.args)).toBe(5);
  });
});

test("six contenders of both versions, waiting or not, train one at a time, and each that waits trains", async () => {
  const of = configuration(await temporaryRoot());
  const inside = join(of.root, "inside");
  const trained = join(of.root, "trained");
  mkdirSync(trained);
  // mkdir(2) fails for whoever is not alone.
  const command = `mkdir ${inside} || { echo OVERLAP; exit 1; }; sleep 0.05; : > ${trained}/$$; rmdir ${inside}`;
  const contender = (version: Version, options: readonly string[]) =>
    call(version, ["run", ...of.args, ...options, "--", "sh", "-c", command]);
  const waiting = (["older", "this one", "older", "this one"] as const).map((each) => contender(each, ["--wait=1m"]));
  const trying = (["older", "this one"] as const).map(async (version) => {
    const ends = [];
    for (let turn = 0; turn < 4; turn += 1) ends.push(await contender(version, []));
    return ends;
  });
  const ends = [...(await Promise.all(waiting)), ...(await Promise.all(trying)).flat()];
  for (const { stdout } of ends) expect(stdout).toBe("");
  for (const { exitCode, stderr } of ends.slice(0, 4)) expect(exitCode, stderr).toBe(0);
  for (const { exitCode, stderr } of ends.slice(4)) expect([0, 75], stderr).toContain(exitCode);
  expect(readdirSync(trained)).toHaveLength(ends.filter(({ exitCode }) => exitCode === 0).length);
});
