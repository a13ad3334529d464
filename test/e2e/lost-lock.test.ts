import { readFileSync, statSync } from "node:fs";
import { rm, unlink } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { pythonJob } from "../support/peers.ts";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { holdStopped, readRecord } from "./stopped-holder.ts";

/** What somebody does who removes a lock by hand and starts his own job. */
async function replaceMarker(of: TestConfiguration): Promise<void> {
  await rm(of.marker);
  await writeMarker(of, `${process.pid}\n`);
}

describe("a marker that is another's now", () => {
  test("means that the lock is lost: the command is stopped, exit code 74, and the other's marker stays", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdStopped(of);
    await replaceMarker(of);
    holder.kill("SIGCONT");
    const { exitCode, stderr } = await holder.finished;
    expect(exitCode).toBe(74);
    expect(stderr).toMatch(/lost/);
    expect(isRunning(holder.commandPid)).toBe(false);
    expect(readFileSync(of.marker, "utf8")).toBe(`${process.pid}\n`);
  });

  test("with --on-lost warn the command goes on, and its exit code is what counts", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdStopped(of, { flags: ["--on-lost", "warn"] });
    await replaceMarker(of);
    holder.kill("SIGCONT");
    await until("a warning", () => (/lost/.test(holder.stderr()) ? true : null));
    expect(isRunning(holder.commandPid)).toBe(true);
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
    expect(readFileSync(of.marker, "utf8")).toBe(`${process.pid}\n`);
  });
});

describe("a kernel lock file that was removed", () => {
  test("is created and locked again", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdStopped(of);
    const before = readRecord(of.kernelLock);
    await unlink(of.kernelLock);
    holder.kill("SIGCONT");
    await until("a whole record", () => {
      const there = statSync(of.kernelLock, { throwIfNoEntry: false });
      return there === undefined || there.size === 0 ? null : true;
    });
    expect(readRecord(of.kernelLock).trainlock.token).toBe(before.trainlock.token);
    const list = await trainlock(["list", "--root", of.root, "--fcntl-only", "--json"]);
    expect(JSON.parse(list.stdout).locks).toMatchObject([{ status: "active", pid: holder.pid }]);
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
  });

  requiresPrograms("python3")("and taken by another job means that the lock is lost", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdStopped(of);
    await unlink(of.kernelLock);
    const other = pythonJob.start(of);
    await other.waitFor("HELD");
    holder.kill("SIGCONT");
    expect((await holder.finished).exitCode).toBe(74);
    expect(isRunning(holder.commandPid)).toBe(false);
    // The other's record is not touched.
    expect(readRecord(of.kernelLock)).toMatchObject({ pid: other.pid });
  });
});
