import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { heldByFlock } from "../support/held-by-flock.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

/** Everything a terminal acts upon, but the newline: C0, DEL, C1. */
const terminalCodes = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;
const evil = "\u001b[31mred\u001b]0;title\u0007\u009b2J\r\u0008\u007f";

const evilRecord = (of: TestConfiguration) => ({
  strategy: of.strategy,
  dataset: of.dataset.toLowerCase().replaceAll("-", "_"),
  model: of.model,
  job_id: "1",
  hostname: `host${evil}`,
  pid: deadPid,
  user: `user${evil}\n=== forged ===`,
  acquired_at: `2026${evil}`,
});

describe("a record with terminal escape codes", () => {
  requiresPrograms("flock")("reaches the terminal escaped, from list, check and run", async () => {
    const of = configuration(await temporaryRoot());
    await heldByFlock(of.kernelLock, JSON.stringify(evilRecord(of)));
    const list = await trainlock(["list", "--root", of.root]);
    const check = await trainlock(["check", ...of.args]);
    const run = await trainlock(["run", ...of.args, "--", "echo", "trained"]);
    expect([list.exitCode, check.exitCode, run.exitCode]).toEqual([0, 1, 75]);
    for (const { stdout, stderr } of [list, check, run]) {
      expect(stdout + stderr).not.toMatch(terminalCodes);
      expect(stdout + stderr).not.toMatch(/^=== forged/m);
    }
    // Escaped, not dropped: whoever looks sees that something is wrong with this record.
    expect(list.stdout).toContain("red");
    expect(list.stdout).toContain("forged");
    expect(list.stdout.split("\n")).toHaveLength(7);
  });

  requiresPrograms("flock")("comes out of --json as JSON has it", async () => {
    const of = configuration(await temporaryRoot());
    await heldByFlock(of.kernelLock, JSON.stringify(evilRecord(of)));
    const { stdout } = await trainlock(["list", "--root", of.root, "--json"]);
    expect(stdout).not.toMatch(terminalCodes);
    expect(JSON.parse(stdout)).toMatchObject({ total: 1, locks: [{ holder: { hostname: `host${evil}` } }] });
  });

  requiresPrograms("flock")("in the names of folders and lock files is escaped as well", async () => {
    const of = configuration(await temporaryRoot());
    const folder = join(of.root, "WEIGHTS", `strategy${evil}`, "idd-aw_cd", "model");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, ".training_lock"), `${process.pid}\n`);
    await heldByFlock(join(of.lockDir, `name${evil}.lock`), "");
    const { exitCode, stdout, stderr } = await trainlock(["list", "--root", of.root]);
    expect(exitCode).toBe(0);
    expect(stdout + stderr).not.toMatch(terminalCodes);
    expect(stdout).toContain("Total locks: 2");
    expect(stdout.match(/red/g)?.length).toBeGreaterThanOrEqual(4);
  });
});

const unreadable: readonly (readonly [string, string | Uint8Array])[] = [
  ["no JSON", "{ half a rec"],
  ["an array", "[1, 2, 3]"],
  ["a number", "17"],
  ["null", "null"],
  ["wrong types", JSON.stringify({ pid: { a: 1 }, hostname: 5, user: [], acquired_at: false, ratio: "x" })],
  ["an impossible PID", JSON.stringify({ pid: -1, job_id: "; rm -rf /" })],
  ["binary", Buffer.from([0, 1, 2, 255, 254])],
  ["200 KiB of JSON", JSON.stringify({ hostname: "h".repeat(200 * 1024) })],
  ["100,000 nested arrays", "[".repeat(100_000)],
  ["a newer format", JSON.stringify({ pid: 1, trainlock: { format: 99, anything: "else" } })],
  ["a prototype", '{"__proto__": {"pid": 1}, "constructor": {"prototype": {"user": "x"}}}'],
];

describe("the record of a held lock", () => {
  for (const [what, record] of unreadable) {
    requiresPrograms("flock")(`that is ${what}: locked all the same`, async () => {
      const of = configuration(await temporaryRoot());
      await heldByFlock(of.kernelLock, record);
      const list = await trainlock(["list", "--root", of.root]);
      expect(list).toMatchObject({ exitCode: 0, stderr: "" });
      expect(list.stdout).toMatch(/^=== fcntl-based locks \(1\) ===\n {2}- .* \[ACTIVE\]\n/);
      expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1, stdout: "" });
      expect(await trainlock(["run", ...of.args, "--", "echo", "trained"])).toMatchObject({ exitCode: 75, stdout: "" });
    });
  }
});

describe("a kernel lock file that is none", () => {
  const strange = {
    "a folder": (path: string) => mkdir(path),
    "a FIFO": (path: string) => finish("mkfifo", [path]),
    "a symlink to /etc/passwd": (path: string) => symlink("/etc/passwd", path),
    "a symlink to nothing": (path: string) => symlink("/nonexistent/file", path),
  };
  for (const [what, make] of Object.entries(strange)) {
    requiresPrograms("mkfifo")(`but ${what}: run says so with exit code 3, check does not call it free`, async () => {
      const of = configuration(await temporaryRoot());
      await mkdir(of.lockDir);
      await make(of.kernelLock);
      const run = await trainlock(["run", ...of.args, "--", "echo", "trained"]);
      expect(run).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(of.kernelLock) });
      const check = await trainlock(["check", ...of.args]);
      expect([1, 3]).toContain(check.exitCode);
      expect(check.stdout).toBe("");
      expect((await trainlock(["list", "--root", of.root])).signal).toBe(null);
    });
  }
});
