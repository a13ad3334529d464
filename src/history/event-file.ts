import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TrainlockError } from "../model/errors.ts";
import { sleep, withJitter } from "../system/clock/sleep.ts";
import { keepToOwner, makeOwnFolder, makeSharedFolder, shareAsFolderAsks } from "../system/files/shared-permissions.ts";
import { isErrno, systemError } from "../system/libc/errno.ts";
import { tryFlock } from "../system/libc/flock.ts";
import { thisHost } from "../system/processes/this-host.ts";

/** Where the events of a site lie. */
export function historyFolder(lockDir: string): string {
  return join(lockDir, "history");
}

/** The file for events of this host, this boot, this user and this month: nobody else writes it. */
export function ownEventFile(lockDir: string, at: Date): string {
  const { hostname, uid, bootId } = thisHost();
  const host = hostname.replaceAll(/[^A-Za-z0-9._-]/g, "_").slice(0, 200);
  const month = at.toISOString().slice(0, 7);
  return join(historyFolder(lockDir), `${host}-${uid}`, `${month}-${(bootId ?? "00000000").slice(0, 8)}.jsonl`);
}

/** So far back a repeated event is looked for. */
const tailBytes = 128 * 1024;

/**
 * Appends a line by one write, under a lock that no other process of this host has. Begins a new line where the last one was
 * torn. `once`: not where a line with all of these texts is among the last ones. Rejects where that is not possible.
 */
export async function appendLine(
  path: string,
  line: string,
  once: readonly string[] | null,
  giveUp: AbortSignal,
): Promise<void> {
  const file = await openToAppend(path);
  try {
    const { size, uid, nlink, isFile } = await statsOf(file);
    if (!isFile || nlink > 1 || uid !== process.geteuid?.()) throw systemError("append to", path, "EPERM");
    while (isLockedByAnother(file.fd, path)) {
      if (giveUp.aborted) return;
      await sleep(withJitter(5));
    }
    const tail = await tailOf(file, once === null ? 1 : tailBytes, size);
    if (once !== null && hasLine(tail, once)) return;
    const bytes = Buffer.from(`${tail.length === 0 || tail.at(-1) === newline ? "" : "\n"}${line}\n`);
    const { bytesWritten } = await file.write(bytes, 0, bytes.length);
    if (bytesWritten < bytes.length) throw systemError("append to", path, "ENOSPC");
  } finally {
    await file.close();
  }
}

const newline = 0x0a;

function hasLine(tail: Buffer, texts: readonly string[]): boolean {
  return tail
    .toString()
    .split("\n")
    .some((line) => texts.every((text) => line.includes(text)));
}

async function statsOf(file: FileHandle) {
  const stats = await file.stat();
  return { size: stats.size, uid: stats.uid, nlink: stats.nlink, isFile: stats.isFile() };
}

async function openToAppend(path: string): Promise<FileHandle> {
  const flags =
    constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
  for (let made = false; ; made = true) {
    try {
      return await open(path, flags);
    } catch (error) {
      if (!isErrno(error, "ENOENT") || made) throw error;
    }
    makeSharedFolder(dirname(dirname(path)));
    makeOwnFolder(dirname(path));
    try {
      const file = await open(path, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
      shareAsFolderAsks(file.fd, path);
      keepToOwner(file.fd, path);
      return file;
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
}

/** Where a file system has no locks, one write with O_APPEND has to do. */
function isLockedByAnother(fd: number, path: string): boolean {
  try {
    return tryFlock(fd, path, "exclusive") === "busy";
  } catch (error) {
    if (error instanceof TrainlockError) return false;
    throw error;
  }
}

/** The last bytes of the file, as they are once it is locked. */
async function tailOf(file: FileHandle, most: number, sizeBefore: number): Promise<Buffer> {
  const size = sizeBefore === 0 ? (await file.stat()).size : Math.max(sizeBefore, (await file.stat()).size);
  const length = Math.min(most, size);
  const buffer = Buffer.alloc(length);
  const { bytesRead } = length === 0 ? { bytesRead: 0 } : await file.read(buffer, 0, length, size - length);
  return buffer.subarray(0, bytesRead);
}
