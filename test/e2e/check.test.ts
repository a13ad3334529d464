import { readFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { describe, expect, test } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { listing, writtenAt } from "./listing.ts";

describe("check", () => {
  test("of a configuration nobody ever trained: FREE and exit code 0", async () => {
    const of = configuration(await temporaryRoot());
    expect(await trainlock(["check", ...of.args])).toEqual({
      exitCode: 0,
      signal: null,
      stdout: "FREE baseline/idd-aw/deeplabv3plus_r50\n",
      stderr: "",
    });
  });

  test("names a configuration with ratio, aux loss and stage as its weights dir does", async () => {
    const root = await temporaryRoot();
    const args = "--strategy gen_IP2P --dataset IDD-AW --model segformer_mit-b5 --ratio 0.5 --aux-loss focal --stage 1";
    expect(await trainlock(["check", "--root", root, ...args.split(" ")])).toMatchObject({
      exitCode: 0,
      stdout: "FREE gen_IP2P/idd-aw/segformer_mit-b5_ratio0p50_aux-focal\n",
    });
  });

  test("of one that run holds: who, since when, on stderr, exit code 1", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args, { env: { LSB_JOBID: "123456" } });
    const since = JSON.parse(readFileSync(of.kernelLock, "utf8")).acquired_at;
    expect(await trainlock(["check", ...of.args])).toEqual({
      exitCode: 1,
      signal: null,
      stdout: "",
      stderr: `[PRE-FLIGHT CHECK FAILED]
Configuration is already being trained:
  Strategy: baseline
  Dataset: IDD-AW
  Model: deeplabv3plus_r50
  Held by: Job 123456 on ${hostname()} (PID ${holder.pid}, user ${userInfo().username})
  Since: ${since}
Skipping to avoid duplicate training.
`,
    });
  });

  test("of one under an unknown lock: the doubt in a line of its own, exit code 1", async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, "12\n34\n");
    const { stderr, ...rest } = await trainlock(["check", ...of.args]);
    expect(rest).toMatchObject({ exitCode: 1, stdout: "" });
    const lines = stderr.split("\n");
    expect(lines.slice(0, 2)).toEqual(["[PRE-FLIGHT CHECK FAILED]", "Configuration is already being trained:"]);
    expect(lines.slice(-4)).toEqual([
      `  Since: ${writtenAt(of.marker)}`,
      // With what makes it so, if more is known than the label says.
      expect.stringMatching(/^ {2}Status: UNKNOWN - remote process( \(.+\))?$/),
      "Skipping to avoid duplicate training.",
      "",
    ]);
  });

  test("of one whose marker is being created: unknown, not free", async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, "");
    const check = await trainlock(["check", ...of.args]);
    expect(check).toMatchObject({ exitCode: 1, stdout: "" });
    expect(check.stderr).toMatch(
      /\n {2}Status: UNKNOWN - being created( \(.+\))?\nSkipping to avoid duplicate training\.\n$/,
    );
  });

  requiresPrograms("a local file system and the initial PID namespace")(
    "of one under a stale lock: free, with a line on stderr that says so",
    async () => {
      const of = configuration(await temporaryRoot());
      await writeMarker(of, `${deadPid}\n`);
      const { stderr, ...rest } = await trainlock(["check", ...of.args]);
      expect(rest).toMatchObject({ exitCode: 0, stdout: `FREE ${of.name}\n` });
      expect(stderr).toMatch(/^[^\n]*stale[^\n]*\n$/i);
      expect(stderr).toContain(of.marker);
      // It only looks.
      expect(readFileSync(of.marker, "utf8")).toBe(`${deadPid}\n`);
    },
  );

  test("sees the marker of a living process as held by it", async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, `${process.pid}\n`);
    const check = await trainlock(["check", ...of.args]);
    expect(check).toMatchObject({ exitCode: 1, stdout: "" });
    expect(check.stderr).toMatch(new RegExp(`^ {2}Held by: .*\\bPID ${process.pid}\\b`, "m"));
    expect(check.stderr).not.toContain("Status:");
  });

  test("--json is one document, locked or free", async () => {
    const of = configuration(await temporaryRoot());
    const free = await trainlock(["check", ...of.args, "--json"]);
    expect(free.exitCode).toBe(0);
    expect(JSON.parse(free.stdout)).toBeTypeOf("object");
    await holdWithRun(of.args);
    const locked = await trainlock(["check", ...of.args, "--json"]);
    expect(locked.exitCode).toBe(1);
    expect(JSON.parse(locked.stdout)).not.toEqual(JSON.parse(free.stdout));
  });

  test("finds the root in the environment, TRAINLOCK_ROOT before AWARE_DATA_ROOT before PROVE_ROOT", async () => {
    const of = configuration(await temporaryRoot());
    const empty = await temporaryRoot();
    const gone = `${empty}/not-there`;
    await holdWithRun(of.args);
    const args = of.args.slice(2);
    const exitCode = async (env: Readonly<Record<string, string>>) =>
      (await trainlock(["check", ...args], { env })).exitCode;
    expect(await exitCode({ PROVE_ROOT: of.root })).toBe(1);
    expect(await exitCode({ AWARE_DATA_ROOT: of.root, PROVE_ROOT: gone })).toBe(1);
    expect(await exitCode({ TRAINLOCK_ROOT: of.root, AWARE_DATA_ROOT: gone, PROVE_ROOT: gone })).toBe(1);
    expect(await exitCode({ TRAINLOCK_ROOT: empty, AWARE_DATA_ROOT: of.root })).toBe(0);
    const byFlag = await trainlock(["check", ...of.args], { env: { TRAINLOCK_ROOT: gone } });
    expect(byFlag.exitCode).toBe(1);
  });

  test("looks for kernel locks where --lock-dir says", async () => {
    const of = configuration(await temporaryRoot());
    const elsewhere = await temporaryRoot();
    const holder = await holdWithRun([...of.args, "--lock-dir", elsewhere]);
    const list = await trainlock(["list", "--root", of.root, "--lock-dir", elsewhere, "--fcntl-only", "--json"]);
    expect(JSON.parse(list.stdout).locks).toMatchObject([{ status: "active", pid: holder.pid }]);
    const without = await trainlock(["list", "--root", of.root, "--fcntl-only"]);
    expect(without.stdout).toBe(listing([]));
  });
});
