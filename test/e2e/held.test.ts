import { readFileSync, statSync } from "node:fs";
import { rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { pythonJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, holdWithLastingCommand, holdWithRun, trainlock } from "../support/trainlock.ts";
import { holdStopped } from "./stopped-holder.ts";

/** What `run` gave to a command, taken from the process itself: what that command would ask with. */
function claimOf(commandPid: number): Record<string, string> {
  for (;;) {
    const variables = readFileSync(`/proc/${commandPid}/environ`, "utf8").split("\0");
    const ours = variables.filter((line) => line.startsWith("TRAINLOCK_"));
    // A process that is just becoming another program has none for a moment.
    if (ours.length > 0) return Object.fromEntries(ours.map((line) => /^(\w+)=(.*)$/s.exec(line)?.slice(1) ?? []));
  }
}

const held = (env: Readonly<Record<string, string>>, ...args: string[]) => trainlock(["held", ...args], { env });
const one = async () => configuration(await temporaryRoot());

describe("the claim that a command runs under", () => {
  test("is held while it runs: exit 0, not a word", async () => {
    const of = await one();
    const script = `${executable} held && ${executable} held --generation $TRAINLOCK_GENERATION && ${executable} held --json`;
    const { exitCode, stdout, stderr } = await trainlock(["run", ...of.args, "--", "sh", "-c", script]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({
      held: true,
      generation: 1,
      token: expect.stringMatching(/^[0-9a-f]{32}$/),
      name: of.name,
      holder: { hostname: expect.any(String), generation: 1 },
    });
  });

  test("is named by the absolute path of its lock file", async () => {
    const of = await one();
    const { commandPid } = await holdWithRun(of.args);
    expect(claimOf(commandPid)).toMatchObject({ TRAINLOCK_LOCK: of.kernelLock, TRAINLOCK_WEIGHTS_DIR: of.weightsDir });
  });

  test("is not held with another generation", async () => {
    const { commandPid } = await holdWithRun((await one()).args);
    expect(await held(claimOf(commandPid), "--generation", "2")).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("its generation is 1, not 2"),
    });
  });

  test("is not held once it was given back, nor when another has claimed since: who, and since when", async () => {
    const of = await one();
    const holder = await holdWithRun(of.args);
    const claim = claimOf(holder.commandPid);
    holder.closeInput();
    await holder.finished;
    expect(await held(claim)).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/released at 20/) });
    const next = await holdWithRun(of.args);
    const { exitCode, stdout, stderr } = await held(claim);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(/^trainlock: .* is not held: generation 2 came after it; last recorded: .*, since 20.*\n$/);
    expect(stderr).toContain(`PID ${next.pid}`);
    expect(JSON.parse((await held(claim, "--json")).stdout)).toMatchObject({ held: false, holder: { pid: next.pid } });
  });

  test("is held by the command that has outlived its wrapper, until that ends", async () => {
    const of = await one();
    const holder = await holdWithLastingCommand(of.args);
    const claim = claimOf(holder.commandPid);
    holder.kill("SIGKILL");
    await holder.finished;
    expect(await held(claim)).toMatchObject({ exitCode: 0, stderr: "" });
    process.kill(holder.commandPid, "SIGKILL");
    expect(await held(claim)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("nobody holds") });
  });

  test("is held again as soon as its holder has mended what was taken away", async () => {
    const of = await one();
    const holder = await holdStopped(of);
    const claim = claimOf(holder.commandPid);
    await unlink(of.kernelLock);
    await unlink(of.marker);
    expect(await held(claim)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("was removed") });
    holder.kill("SIGCONT");
    await expect.poll(async () => (await held(claim)).exitCode).toBe(0);
  });
});

describe("while its wrapper is stopped", () => {
  type Deed = readonly [
    title: string,
    deed: (of: TestConfiguration) => Promise<unknown>,
    exitCode: number,
    why: RegExp,
  ];
  const deeds: readonly Deed[] = [
    ["an emptied record", (of) => writeFile(of.kernelLock, ""), 0, /^$/],
    ["a record of somebody's words", (of) => writeFile(of.kernelLock, "\x1b[2Jmine"), 0, /^$/],
    [
      "no record left at all",
      (of) => Promise.all([of.kernelLock, of.markerRecord].map((path) => writeFile(path, ""))),
      3,
      /no record says whose/,
    ],
    ["a marker that was removed", (of) => rm(of.marker), 1, /its marker in .* was removed/],
    ["another's marker", (of) => rm(of.marker).then(() => writeMarker(of, "1\n")), 1, /is another's \(PID 1\)/],
    ["another's PID in its marker", (of) => writeFile(of.marker, "1\n"), 1, /is another's \(PID 1\)/],
    ["a lock file that was copied", (of) => copyInPlace(of.kernelLock), 1, /lock file .* was replaced/],
    ["a link for the lock file", (of) => linkInPlace(of.kernelLock), 1, /lock file .* is a symbolic link/],
    ["a link to itself for the weights dir", (of) => loopInPlace(of.weightsDir), 3, /cannot .*ELOOP/],
  ];
  test.each(deeds)("%s", async (_, deed, exitCode, why) => {
    const of = await one();
    const holder = await holdStopped(of);
    const claim = claimOf(holder.commandPid);
    await deed(of);
    const answer = await held(claim);
    expect(answer.stderr).toMatch(why);
    expect(answer.exitCode).toBe(exitCode);
    const { stdout, exitCode: withJson } = await held(claim, "--json");
    expect(JSON.parse(stdout)).toMatchObject({ held: { 0: true, 1: false, 3: null }[exitCode] });
    expect(withJson).toBe(exitCode);
  });

  requiresPrograms("python3")("a lock file that another job has taken", async () => {
    const of = await one();
    const holder = await holdStopped(of);
    await unlink(of.kernelLock);
    const other = pythonJob.start(of);
    await other.waitFor("HELD");
    const { exitCode, stderr } = await held(claimOf(holder.commandPid));
    expect(stderr).toContain(`another has it; last recorded: `);
    expect(stderr).toContain(`PID ${other.pid}`);
    expect(exitCode).toBe(1);
  });
});

describe("variables that say nothing usable", () => {
  test.each([
    [{ TRAINLOCK_TOKEN: "" }, "TRAINLOCK_TOKEN is not set"],
    [{ TRAINLOCK_TOKEN: "x" }, 'TRAINLOCK_TOKEN is "x"'],
    [{ TRAINLOCK_GENERATION: "-1" }, 'TRAINLOCK_GENERATION is "-1"'],
    [{ TRAINLOCK_GENERATION: "9".repeat(30) }, "TRAINLOCK_GENERATION is"],
    [{ TRAINLOCK_LOCK: "training_locks/a.lock" }, "TRAINLOCK_LOCK is"],
    [{ TRAINLOCK_LOCK: `/${"a/".repeat(4000)}` }, "TRAINLOCK_LOCK is"],
    [{ TRAINLOCK_WEIGHTS_DIR: "." }, "TRAINLOCK_WEIGHTS_DIR is"],
  ] as const)("case %#: exit 2, naming the variable", async (change, message) => {
    const claim = {
      TRAINLOCK_TOKEN: "0".repeat(32),
      TRAINLOCK_GENERATION: "1",
      TRAINLOCK_LOCK: "/nowhere/a.lock",
      TRAINLOCK_WEIGHTS_DIR: "/nowhere",
    };
    expect(await held(claim)).toMatchObject({ exitCode: 1 });
    const { exitCode, stderr } = await held({ ...claim, ...change });
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  test("a name is shown with its control characters escaped", async () => {
    const claim = { TRAINLOCK_TOKEN: "0".repeat(32), TRAINLOCK_GENERATION: "1", TRAINLOCK_LOCK: "/nowhere/a.lock" };
    const { stderr } = await held({ ...claim, TRAINLOCK_WEIGHTS_DIR: "/nowhere", TRAINLOCK_NAME: "a\x1b[2J\nb" });
    expect(stderr).toContain("trainlock: a\\x1b[2J\\x0ab is not held");
  });
});

describe("a configuration that is named", () => {
  test("is held with its generation, whoever has it", async () => {
    const of = await one();
    const holder = await holdWithRun(of.args);
    expect(await held({}, ...of.args, "--generation", "1")).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await held({}, ...of.args, "--generation", "2")).toMatchObject({ exitCode: 1 });
    holder.closeInput();
    await holder.finished;
    expect(await held({}, ...of.args, "--generation", "1")).toMatchObject({ exitCode: 1 });
  });

  test.each([
    [[], "--generation is missing"],
    [["--generation", "0"], '--generation "0" is not a generation'],
  ])("with %j is a wrong call, also under `run`", async (args, message) => {
    const of = await one();
    const { commandPid } = await holdWithRun(of.args);
    const { exitCode, stderr } = await held(claimOf(commandPid), ...of.args, ...args);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  test("is asked about by all its names, or not at all", async () => {
    expect(await held({}, "--root", "/", "--generation", "1")).toMatchObject({ exitCode: 2 });
    expect(await held({})).toMatchObject({ exitCode: 2 });
  });

  test("whose locks are byte ranges is held, inside and outside", async () => {
    const of = await one();
    await writeFile(join(of.root, "trainlock.yaml"), "lock_primitive: ofd\n");
    const holder = await holdStopped(of);
    expect(await held(claimOf(holder.commandPid))).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await held({}, ...of.args, "--generation", "1")).toMatchObject({ exitCode: 0, stderr: "" });
  });
});

async function copyInPlace(path: string): Promise<void> {
  const before = statSync(path).ino;
  await writeFile(`${path}.new`, readFileSync(path));
  await rename(`${path}.new`, path);
  expect(statSync(path).ino).not.toBe(before);
}

async function linkInPlace(path: string): Promise<void> {
  await rename(path, `${path}.old`);
  await symlink(`${path}.old`, path);
}

async function loopInPlace(path: string): Promise<void> {
  await rename(path, `${path}.old`);
  await symlink(path, path);
}
