import { existsSync, readFileSync } from "node:fs";
import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { describe, expect } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { asNobody } from "./nobody.ts";

const provable = "a local file system and the initial PID namespace";
const test = requiresPrograms(provable);

/** One stale marker, one unknown one, and the two locks of a run. */
async function folderOfLocks() {
  const root = await temporaryRoot();
  const stale = configuration(root, "photometric_distort");
  const unknown = configuration(root, "unknown");
  const active = configuration(root, "active");
  await writeMarker(stale, `${deadPid}\n`);
  await writeMarker(unknown, "12\n34\n");
  await holdWithRun(active.args);
  return { root, stale, unknown, active };
}

const asLeft = {
  strategy: "baseline",
  dataset: "idd_aw",
  model: "deeplabv3plus_r50",
  hostname: hostname(),
  pid: deadPid,
};

/** Why it may go, as far as this test knows: the file system is that of the machine it runs on. */
const evidenceIn = (stdout: string) => /^ {4}dead {4}process: no process \d+ on this host, and .*\n/m.exec(stdout)?.[0];

describe("clear", () => {
  test("is a dry run unless told otherwise", async () => {
    const { root, stale } = await folderOfLocks();
    const clear = await trainlock(["clear", "--root", root]);
    const evidence = evidenceIn(clear.stdout);
    expect(clear).toEqual({
      exitCode: 0,
      signal: null,
      stderr: "",
      stdout: `Found 1 stale lock (dry run):
  - photometric_distort/idd-aw/deeplabv3plus_r50 [STALE - PID not running]
    Lock file: ${stale.marker}
${evidence}Kept 3 locks: 2 active, 1 unknown
Run with --no-dry-run to remove
`,
    });
    expect(existsSync(stale.marker)).toBe(true);
  });

  test("--no-dry-run removes what is stale, and that alone", async () => {
    const { root, stale, unknown, active } = await folderOfLocks();
    const clear = await trainlock(["clear", "--root", root, "--no-dry-run"]);
    const evidence = evidenceIn(clear.stdout);
    expect(clear).toEqual({
      exitCode: 0,
      signal: null,
      stderr: "",
      stdout: `Cleared 1 stale lock:
  - photometric_distort/idd-aw/deeplabv3plus_r50 [STALE - PID not running]
    Lock file: ${stale.marker}
${evidence}Kept 3 locks: 2 active, 1 unknown
`,
    });
    expect(existsSync(stale.marker)).toBe(false);
    expect(readFileSync(unknown.marker, "utf8")).toBe("12\n34\n");
    expect(await trainlock(["check", ...active.args])).toMatchObject({ exitCode: 1 });
    expect(await trainlock(["run", ...stale.args, "--", "true"])).toMatchObject({ exitCode: 0, stderr: "" });

    const again = await trainlock(["clear", "--root", root, "--no-dry-run"]);
    expect(again).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^No stale locks found\n/) });
  });

  test("--force takes unknown locks too, and never an active one", async () => {
    const { root, stale, unknown, active } = await folderOfLocks();
    const dry = await trainlock(["clear", "--root", root, "--force"]);
    expect(dry).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(unknown.marker) });
    expect(existsSync(unknown.marker)).toBe(true);

    const done = await trainlock(["clear", "--root", root, "--force", "--no-dry-run", "--json"]);
    const { dryRun, removed, kept, failed } = JSON.parse(done.stdout);
    const paths = (locks: { path: string }[]) => locks.map(({ path }) => path).sort();
    expect({ dryRun, failed }).toEqual({ dryRun: false, failed: [] });
    expect(paths(removed)).toEqual([stale.marker, unknown.marker].sort());
    expect(paths(kept)).toEqual([active.marker, active.kernelLock].sort());
    expect([stale.marker, unknown.marker].filter((path) => existsSync(path))).toEqual([]);
    expect(readFileSync(active.marker, "utf8")).toMatch(/^\d+\n$/);
    expect(await trainlock(["run", ...active.args, "--", "true"])).toMatchObject({ exitCode: 75 });
  });

  test("--json of a dry run says what would be removed", async () => {
    const { root, stale } = await folderOfLocks();
    const { stdout } = await trainlock(["clear", "--root", root, "--json"]);
    const document = JSON.parse(stdout);
    expect(Object.keys(document).sort()).toEqual(["dryRun", "failed", "kept", "removed"]);
    expect(document).toMatchObject({ dryRun: true, removed: [{ kind: "file", path: stale.marker }], failed: [] });
    expect(document.kept).toHaveLength(3);
    expect(existsSync(stale.marker)).toBe(true);
  });

  test("without anything stale says so", async () => {
    const root = await temporaryRoot();
    expect(await trainlock(["clear", "--root", root])).toMatchObject({
      exitCode: 0,
      stdout: "No stale locks found\n",
      stderr: "",
    });
  });

  test("of a kernel lock signs its record off; the file stays, so that a waiter on it keeps its name", async () => {
    const of = configuration(await temporaryRoot());
    await mkdir(of.lockDir);
    await writeFile(of.kernelLock, JSON.stringify(asLeft));
    const list = () => trainlock(["list", "--root", of.root]);
    expect((await list()).stdout).toContain("[STALE - lock not held]");
    const cleared = await trainlock(["clear", "--root", of.root, "--no-dry-run"]);
    expect(cleared).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("Cleared 1 stale lock:\n") });
    expect(existsSync(of.kernelLock)).toBe(true);
    expect((await list()).stdout).toBe("No active training locks\n");
  });

  test("--file-only and --fcntl-only leave the other kind alone", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    await mkdir(of.lockDir);
    await writeFile(of.kernelLock, JSON.stringify(asLeft));
    await writeMarker(of, `${deadPid}\n`);
    const removedBy = async (flag: string) => {
      const { stdout } = await trainlock(["clear", "--root", root, flag, "--json"]);
      return JSON.parse(stdout).removed.map(({ kind }: { kind: string }) => kind);
    };
    expect(await removedBy("--file-only")).toEqual(["file"]);
    expect(await removedBy("--fcntl-only")).toEqual(["fcntl"]);
    await trainlock(["clear", "--root", root, "--file-only", "--no-dry-run"]);
    expect(existsSync(of.marker)).toBe(false);
    expect(await removedBy("--fcntl-only")).toEqual(["fcntl"]);
  });

  requiresPrograms(
    "root",
    "setpriv",
    provable,
  )("says what it may not remove, with owner and mode, and does the rest", async () => {
    const root = await temporaryRoot();
    const mine = configuration(root, "mine");
    const theirs = configuration(root, "theirs");
    await chmod(root, 0o755);
    await mkdir(mine.lockDir);
    await chmod(mine.lockDir, 0o1777);
    for (const of of [mine, theirs]) {
      await writeMarker(of, `${deadPid}\n`);
      // Sticky: everybody may create here, and only the owner removes.
      await chmod(of.weightsDir, 0o1777);
    }
    await chown(mine.marker, 65_534, 65_534);
    const clear = await asNobody();

    const text = await clear(["clear", "--root", root, "--no-dry-run"]);

    expect(text.exitCode).toBe(3);
    expect([mine.marker, theirs.marker].filter((path) => existsSync(path))).toEqual([theirs.marker]);
    expect(text.stderr).toContain(theirs.marker);
    expect(text.stderr).toMatch(/owner (root|uid 0)\b/);
    expect(text.stderr).toMatch(/mode 0?644\b/);
    const json = await clear(["clear", "--root", root, "--no-dry-run", "--json"]);
    expect(json.exitCode).toBe(3);
    expect(JSON.parse(json.stdout).failed).toMatchObject([{ lock: { path: theirs.marker } }]);
  });
});
