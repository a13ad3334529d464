import {
  close,
  closeSync,
  constants,
  fstat,
  fstatSync,
  open,
  openSync,
  read,
  readSync,
  type Stats,
  write,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { TrainlockError } from "../model/errors.ts";
import { sleep, withJitter } from "../system/clock/sleep.ts";
import { beneath, boundsOf } from "../system/files/open-beneath.ts";
import { keepToOwner, makeOwnFolder, makeSharedFolder, shareAsFolderAsks } from "../system/files/shared-permissions.ts";
import { isErrno, systemError } from "../system/libc/errno.ts";
import { tryFlock, unlock } from "../system/libc/flock.ts";
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

/** How far back a repeated event is looked for. */
const tailBytes = 128 * 1024;

type Now<T> = T | Promise<T>;

/** The calls that write an event. */
export interface EventFileCalls {
  open(path: string, flags: number): Now<number>;
  fstat(fd: number): Now<Stats>;
  read(fd: number, bytes: Buffer, from: number): Now<number>;
  write(fd: number, bytes: Buffer): Now<number>;
  close(fd: number): Now<void>;
}

/** For this host's own disk, which has answered before another thread would have been there: two threads cost a run 2 ms. */
export const callsAtOnce: EventFileCalls = {
  open: openSync,
  fstat: fstatSync,
  read: (fd, bytes, from) => readSync(fd, bytes, 0, bytes.length, from),
  write: (fd, bytes) => writeSync(fd, bytes, 0, bytes.length, null),
  close: closeSync,
};

/** For a file server, which may not answer: a timer goes on meanwhile. */
export const callsBeside: EventFileCalls = {
  open: (path, flags) => settle((done) => open(path, flags, done)),
  fstat: (fd) => settle((done) => fstat(fd, done)),
  read: (fd, bytes, from) => settle((done) => read(fd, bytes, 0, bytes.length, from, done)),
  write: (fd, bytes) => settle((done) => write(fd, bytes, 0, bytes.length, null, done)),
  close: (fd) => settle((done) => close(fd, done)),
};

/** Appends a line to a file that is opened for it alone. See {@link OwnEventFile}. */
export async function appendLine(
  path: string,
  calls: EventFileCalls,
  line: string,
  once: readonly string[] | null,
  giveUp: AbortSignal,
): Promise<"gone" | "done" | "given up"> {
  const file = await OwnEventFile.open(path, calls);
  try {
    return await file.append(line, once, giveUp);
  } finally {
    await file.close();
  }
}

/** An event file of this user, kept open from one event to the next: a short run pays for each call. */
export class OwnEventFile {
  readonly path: string;
  readonly #fd: number;
  readonly #calls: EventFileCalls;
  /** Its size after our own last line, which then is its last one. */
  #ownEnd = 0;

  private constructor(path: string, fd: number, calls: EventFileCalls) {
    this.path = path;
    this.#fd = fd;
    this.#calls = calls;
  }

  static async open(path: string, calls: EventFileCalls): Promise<OwnEventFile> {
    return new OwnEventFile(path, await openToAppend(path, calls), calls);
  }

  async close(): Promise<void> {
    await this.#calls.close(this.#fd);
  }

  /**
   * Appends a line by one write, under a lock that no other process of this host has. Begins a new line where the last one was
   * torn. `once`: not where a line with all of these texts is among the last ones. Rejects where that is not possible. `gone`: the
   * file has no name any more. `given up`: another kept the lock until nobody waited any more.
   */
  async append(
    line: string,
    once: readonly string[] | null,
    giveUp: AbortSignal,
  ): Promise<"gone" | "done" | "given up"> {
    const { path } = this;
    const [fd, calls] = [this.#fd, this.#calls];
    while (isLockedByAnother(fd, path)) {
      if (giveUp.aborted) return "given up";
      await sleep(withJitter(5));
    }
    try {
      const stats = await calls.fstat(fd);
      if (stats.nlink === 0) return "gone";
      if (!stats.isFile() || stats.nlink > 1 || stats.uid !== process.geteuid?.())
        throw systemError("append to", path, "EPERM");
      const isOwnEnd = once === null && stats.size > 0 && stats.size === this.#ownEnd;
      const tail = isOwnEnd ? Buffer.from("\n") : await tailOf(fd, calls, once === null ? 1 : tailBytes, stats.size);
      if (once !== null && hasLine(tail, once)) return "done";
      const bytes = Buffer.from(`${tail.length === 0 || tail.at(-1) === newline ? "" : "\n"}${line}\n`);
      const bytesWritten = await calls.write(fd, bytes);
      if (bytesWritten < bytes.length) throw systemError("append to", path, "ENOSPC");
      this.#ownEnd = stats.size + bytes.length;
      return "done";
    } finally {
      unlock("flock", fd);
    }
  }
}

const newline = 0x0a;

function hasLine(tail: Buffer, texts: readonly string[]): boolean {
  return tail
    .toString()
    .split("\n")
    .some((line) => texts.every((text) => line.includes(text)));
}

async function openToAppend(path: string, calls: EventFileCalls): Promise<number> {
  const flags =
    constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
  for (let made = false; ; made = true) {
    try {
      return await calls.open(path, flags);
    } catch (error) {
      if (!isErrno(error, "ENOENT") || made) throw error;
    }
    try {
      return createFile(path, flags);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
}

/**
 * Through descriptors: a lock dir that is swapped for a link meanwhile leads nowhere. One that is away is not made: it may come
 * back as it was, and until then others would find free locks in the new one.
 */
function createFile(path: string, flags: number): number {
  const own = dirname(path);
  const history = dirname(own);
  const lockDir = dirname(history);
  const bounds = boundsOf(history, dirname(lockDir));
  beneath(bounds, lockDir, (folder) => makeSharedFolder(join(folder, basename(history))));
  beneath(bounds, history, (folder) => makeOwnFolder(join(folder, basename(own))));
  return beneath(bounds, own, (folder) => {
    const held = join(folder, basename(path));
    const fd = openSync(held, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
    shareAsFolderAsks(fd, held);
    keepToOwner(fd, held);
    return fd;
  });
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

async function tailOf(fd: number, calls: EventFileCalls, most: number, size: number): Promise<Buffer> {
  const length = Math.min(most, size);
  const buffer = Buffer.alloc(length);
  const bytesRead = length === 0 ? 0 : await calls.read(fd, buffer, size - length);
  return buffer.subarray(0, bytesRead);
}

/** The outcome of a call of `node:fs`: its promises cost a short run more than the calls themselves. */
function settle<T>(call: (done: (error: Error | null, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, value) => (error === null || error === undefined ? resolve(value) : reject(error)));
  });
}
