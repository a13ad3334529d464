import { chmodSync, existsSync, linkSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { heldByFlock } from "../support/held-by-flock.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { trace } from "../support/strace.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { asNobody } from "./nobody.ts";

let of: TestConfiguration;

beforeEach(async () => {
  of = configuration(await temporaryRoot());
  mkdirSync(of.lockDir);
  mkdirSync(of.weightsDir, { recursive: true });
});

const run = () => trainlock(["run", ...of.args, "--", "true"]);
const check = () => trainlock(["check", ...of.args]);
const repair = (...options: string[]) => trainlock(["clear", ...of.args, "--repair", ...options]);

describe("what stands on the way to a folder", () => {
  const folders = {
    "the lock dir": ({ lockDir }: TestConfiguration) => lockDir,
    "the weights dir": ({ weightsDir }: TestConfiguration) => weightsDir,
    "a folder above the weights dir": ({ weightsDir }: TestConfiguration) => dirname(weightsDir),
  };
  for (const [which, pathOf] of Object.entries(folders))
    test.each([
      [
        "a link that leads nowhere on this host",
        (path: string) => symlinkSync("not-mounted-here", path),
        /a link that/,
      ],
      ["a link to itself", (path: string) => symlinkSync(path, path), /link|ELOOP/],
      ["a file", (path: string) => writeFileSync(path, ""), /ENOTDIR/],
    ])(`${which} is %s: check does not say FREE where run refuses`, async (_, make, says) => {
      const path = pathOf(of);
      rmSync(path, { recursive: true });
      make(path);
      expect(await check()).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringMatching(says) });
      expect((await run()).exitCode).toBe(3);
    });

  test("a lock dir behind a link that leads nowhere: list and clear say that it was not looked at", async () => {
    rmSync(of.lockDir, { recursive: true });
    symlinkSync("not-mounted-here", of.lockDir);
    for (const command of ["list", "clear"]) {
      const { exitCode, stdout, stderr } = await trainlock([command, "--root", of.root]);
      expect({ exitCode, said: `${stdout}${stderr}` }).toMatchObject({
        exitCode: 3,
        said: expect.stringContaining(of.lockDir),
      });
      expect(stdout).not.toMatch(/^No /);
    }
  });
});

describe("what stands where a file belongs", () => {
  const things: readonly (readonly [string, (of: TestConfiguration) => string, (path: string) => void])[] = [
    ["a lock file with a second name", ({ kernelLock }) => kernelLock, hardLinked],
    ["a folder for the lock file", ({ kernelLock }) => kernelLock, (path) => mkdirSync(path)],
    ["an empty folder for the record", ({ markerRecord }) => markerRecord, (path) => mkdirSync(path)],
    [
      "a full folder for the record",
      ({ markerRecord }) => markerRecord,
      (path) => mkdirSync(join(path, "in"), { recursive: true }),
    ],
  ];

  test.each(things)(
    "%s: check does not say FREE where run refuses, and one named command helps",
    async (_, pathOf, make) => {
      const path = pathOf(of);
      make(path);
      for (const refused of [await run(), await check()]) {
        expect(refused).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(path) });
        expect(refused.stderr).toContain("trainlock clear CONFIGURATION --repair --no-dry-run");
      }
      expect(await repair()).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining(`Would move aside:\n  ${path}\n`),
      });
      expect(await run()).toMatchObject({ exitCode: 3 });
      const moved = JSON.parse((await repair("--no-dry-run", "--json")).stdout);
      expect(moved).toEqual({ dryRun: false, moved: [{ path, to: expect.stringContaining(`${path}.aside-`) }] });
      expect(existsSync(moved.moved[0].to)).toBe(true);
      expect(await check()).toMatchObject({ exitCode: 0 });
      expect(await run()).toMatchObject({ exitCode: 0, stderr: "" });
      expect(await repair()).toMatchObject({ stdout: "Nothing stands where a file belongs\n" });
    },
  );

  requiresPrograms("flock")("nothing is moved while somebody holds the file, or has the marker", async () => {
    const holder = await heldByFlock(of.kernelLock, "");
    linkSync(of.kernelLock, join(of.root, "second"));
    expect(await repair("--no-dry-run")).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("is ACTIVE") });
    holder.closeInput();
    await holder.finished;
    await writeMarker(of, `${process.pid}\n`);
    expect(await repair("--no-dry-run")).toMatchObject({ exitCode: 3 });
    expect(readdirSync(of.lockDir)).toHaveLength(1);
  });

  test("--repair wants one configuration", async () => {
    expect(await trainlock(["clear", "--root", of.root, "--repair"])).toMatchObject({ exitCode: 2 });
  });
});

function hardLinked(path: string): void {
  writeFileSync(path, "");
  linkSync(path, `${path}.second`);
}

requiresPrograms("root", "setpriv")("as a user without permission, check ends as run does", async () => {
  const call = await asNobody();
  const both = async () => {
    const run = await call(["run", ...of.args, "--", "true"]);
    expect(await call(["check", ...of.args])).toMatchObject({ exitCode: run.exitCode });
    return run.exitCode;
  };
  const modes = (root: number, locks: number, weights: number) => {
    chmodSync(of.lockDir, locks);
    chmodSync(of.weightsDir, weights);
    chmodSync(of.root, root);
  };
  modes(0o755, 0o755, 0o777);
  expect(await both()).toBe(3);
  modes(0o755, 0o777, 0o755);
  expect(await both()).toBe(3);
  modes(0o755, 0o777, 0o777);
  expect(await both()).toBe(0);
  // A lock file, and a record, of somebody else's.
  chmodSync(of.kernelLock, 0o600);
  expect(await call(["check", ...of.args])).toMatchObject({ exitCode: 0 });
  const other = configuration(of.root, "other");
  mkdirSync(other.weightsDir, { recursive: true });
  chmodSync(other.weightsDir, 0o1777);
  expect((await trainlock(["run", ...other.args, "--", "true"])).exitCode).toBe(0);
  chmodSync(other.kernelLock, 0o666);
  of = other;
  expect(await both()).toBe(3);
});

requiresPrograms("strace")("ESTALE from an open lock file: opened again three times, then exit 3", async () => {
  const traced = (args: readonly string[], when: string) => trace(args, { inject: `flock:error=ESTALE:when=${when}` });
  writeFileSync(of.kernelLock, "");
  expect((await traced(["run", ...of.args, "--", "true"], "1..3")).exitCode).toBe(0);
  const given = await traced(["run", ...of.args, "--", "true"], "1..4");
  expect(given).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("ESTALE") });
  expect((await traced(["check", ...of.args], "1..3")).exitCode).toBe(0);
  expect((await traced(["check", ...of.args], "1..4")).exitCode).toBe(3);
});

requiresPrograms("strace")("ESTALE of a marker or its record: looked for again three times, then exit 3", async () => {
  await writeMarker(of, "1\n");
  const readWith = (when: string) =>
    trace(["check", ...of.args], { paths: [of.marker], inject: `pread64:error=ESTALE:when=${when}` });
  const asIs = (await trace(["check", ...of.args])).exitCode;
  expect((await readWith("1..3")).exitCode).toBe(asIs);
  expect(await readWith("1..4")).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("ESTALE") });
});
