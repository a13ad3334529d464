import { readFileSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  flockHolderPids,
  flockHoldersOf,
  heldInKernelTable,
  kernelTableKey,
} from "../../src/system/processes/flock-holders.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const needsFlock = requiresPrograms("flock");
/** Where the kernel's table shows the lock, by the device that stat(2) tells. */
const needsFlockInPlainSight = requiresPrograms("flock", "a local file system and the initial PID namespace");

async function lockFile(name = "a.lock") {
  const path = join(await temporaryRoot(), name);
  writeFileSync(path, "");
  const { dev, ino } = statSync(path, { bigint: true });
  return { path, dev, ino };
}

/** `flock` and the command below it hold the lock together, until the end of input. */
async function hold(path: string) {
  const holder = startProcess("flock", [path, "sh", "-c", "echo $$; exec cat"]);
  await holder.waitFor("\n");
  return { holder, pids: [holder.pid, Number(holder.stdout())] };
}

needsFlock("finds all that share the lock, oldest first", async () => {
  const file = await lockFile();
  const { holder, pids } = await hold(file.path);
  expect(flockHolderPids(file.path, file)).toEqual(pids);
  holder.closeInput();
  await holder.finished;
  expect(flockHolderPids(file.path, file)).toEqual([]);
});

needsFlockInPlainSight("leaves out those who wait, and those who only have the file open", async () => {
  const file = await lockFile();
  const { pids } = await hold(file.path);
  startProcess("flock", [file.path, "true"]);
  const reader = startProcess("sh", ["-c", 'echo ready; exec cat 9<"$0"', file.path]);
  await reader.waitFor("ready");
  const linesAboutIt = () => readFileSync("/proc/locks", "utf8").split(kernelTableKey(file.dev, file.ino)).length - 1;
  await expect.poll(linesAboutIt).toBe(2);
  expect(flockHolderPids(file.path, file)).toEqual(pids);
});

needsFlock("finds the holder of a file that was unlinked, and not that of its successor", async () => {
  const file = await lockFile();
  const { pids } = await hold(file.path);
  unlinkSync(file.path);
  writeFileSync(file.path, "");
  const successor = statSync(file.path, { bigint: true });
  expect(flockHolderPids(file.path, file)).toEqual(pids);
  expect(flockHolderPids(file.path, { dev: successor.dev, ino: successor.ino })).toEqual([]);
});

needsFlock("finds a holder that came by a symlink", async () => {
  const file = await lockFile();
  const link = join(await temporaryRoot(), "link.lock");
  symlinkSync(file.path, link);
  const { pids } = await hold(link);
  expect(flockHolderPids(file.path, file)).toEqual(pids);
});

needsFlock("tells files of the same name apart in one pass", async () => {
  const [one, two, free] = [await lockFile(), await lockFile(), await lockFile("free.lock")];
  const [first, second] = [await hold(one.path), await hold(two.path)];
  expect(flockHoldersOf([one, two, free])).toEqual(
    new Map([
      [one.path, first.pids],
      [two.path, second.pids],
    ]),
  );
});

test("asks nobody for no files", () => {
  expect(flockHoldersOf([])).toEqual(new Map());
});

needsFlockInPlainSight("reads the kernel's table", async () => {
  const file = await lockFile();
  const key = kernelTableKey(file.dev, file.ino);
  expect(heldInKernelTable()).not.toContain(key);
  await hold(file.path);
  expect(heldInKernelTable()).toContain(key);
});

test("names files as the kernel's table does", () => {
  expect(kernelTableKey(0xfe00n, 2146477n)).toBe("fe:00:2146477");
  expect(kernelTableKey(0x31n, 7n)).toBe("00:31:7");
  // Major 0x1234, minor 0xabcde: both reach beyond the bits of the old 16 bit device number.
  expect(kernelTableKey(0x0000_1000_abc2_34den, 18446744073709551615n)).toBe("1234:abcde:18446744073709551615");
});
