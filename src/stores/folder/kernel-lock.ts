import { type BigIntStats, closeSync, constants, fstatSync, ftruncateSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { EnvironmentError } from "../../model/errors.ts";
import { largestRecordBytes, type RecordReading } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { sleep, withJitter } from "../../system/clock/sleep.ts";
import { onceAllowed } from "../../system/files/being-made.ts";
import { readFresh } from "../../system/files/fresh-read.ts";
import { inHeldFolder, makeHeldFolder } from "../../system/files/open-beneath.ts";
import { mostStaleFiles, readUpTo, specialFileAt } from "../../system/files/read-regular-file.ts";
import { leadsTo, sameFile } from "../../system/files/same-file.ts";
import { createShared, ownerOf, shareAsFolderAsks } from "../../system/files/shared-permissions.ts";
import { writeAll } from "../../system/files/write-all.ts";
import { asSystemError, isErrno, systemError } from "../../system/libc/errno.ts";
import { type LockPrimitive, tryLock, unlock } from "../../system/libc/flock.ts";
import { repairHint } from "./claimable.ts";
import { recordOfLockFile, unwritten, type WrittenRecord } from "./lock-file.ts";
import { mayBeHeldUnseen } from "./lock-mount.ts";
import { removeUnusedLockFile } from "./unused-lock-file.ts";

/** Other tools probe by taking the lock for an instant: would-block is believed only after this long. */
const probePatienceMs = 100;
/** An old holder may stand between its unlock and its unlink for as long as a process may be descheduled. */
const unlinkGraceMs = 100;
/**
 * How often the name may lead to another file. After that, the attempt is lost to the process that keeps replacing it.
 */
const mostReplacements = 50;

export interface KernelLock {
  readonly path: string;
  /** False: a stand-in where there are no kernel locks, which keeps nobody out and proves nothing (claim-lock.ts). */
  readonly excludes: boolean;
  /** What a command inherits to keep the lock alive without its wrapper. */
  readonly descriptors: readonly number[];
  readonly inode: bigint;
  /** The file that `write` writes to: the lock file; null where nothing was written yet that goes elsewhere. */
  recordPath(): string | null;
  /** The lock file did not exist before: a free lock then says nothing about earlier holders. */
  readonly created: boolean;
  /** What the file held when the lock was taken. */
  readonly previous: RecordReading;
  /** Everything that claims of this configuration have written outside its weights dir. */
  records(): readonly WrittenRecord[];
  /** Whether the file is still open here, and the path still leads to it. Throws when that cannot be known. */
  isInPlace(): boolean;
  /** The record as it is now in the locked file. */
  read(): RecordReading;
  /** Replaces the record in one write: a reader sees the old one or the new one. */
  write(record: Buffer): void;
  /**
   * Locks, in the same way, the file that has this name now. For a lock that is not in place any more. Throws where its folder
   * is not there: a folder that was here is away, and is not made again.
   */
  lockAgain(): Promise<KernelLock | "busy">;
  /** Unlocks for every process that inherited the descriptor. The file stays: see docs/protocol.md. */
  release(): void;
  /** The same after an attempt that failed: a file that was made for it, and that nothing could be written to, is removed. */
  abandon(): void;
  /** Closes it here, and leaves it locked for the processes that have inherited the descriptor. */
  leave(): void;
}

/** What a wait for the lock may use. Returns whether the descriptor is locked now. */
export type WaitForLock = (fd: number) => Promise<boolean>;

/** Takes the kernel lock once `wait` has got it. Null when it has not, or when the name leads to another file by then. */
export async function waitForKernelLock(
  path: string,
  primitive: LockPrimitive,
  wait: WaitForLock,
): Promise<KernelLock | null> {
  const { fd, created } = openLockFile(path);
  let keep = false;
  try {
    if (!(await wait(fd))) return null;
    const lock = lockedFile(path, primitive, fd, created);
    keep = await isSettled(lock);
    return keep ? lock : null;
  } finally {
    if (!keep) closeSync(fd);
  }
}

/**
 * Takes the kernel lock of one file. `busy` after 100 ms of would-block; anything else that fails is thrown. `toTrain`: false for
 * a process that only changes what is written, and must not hold the lock for longer than a run is patient.
 */
export async function acquireKernelLock(
  path: string,
  primitive: LockPrimitive,
  toTrain = true,
  mayMakeFolder = true,
): Promise<KernelLock | "busy"> {
  const giveUpAt = performance.now() + probePatienceMs;
  let stale = 0;
  for (let replaced = 0; replaced < mostReplacements; ) {
    const { fd, created } = openLockFile(path, mayMakeFolder);
    let keep = false;
    try {
      if (tryLock(primitive, fd, path, "exclusive") === "busy") {
        if (performance.now() >= giveUpAt) return "busy";
        await sleep(withJitter(10));
        continue;
      }
      const lock = lockedFile(path, primitive, fd, created);
      if (toTrain ? await isSettled(lock) : lock.isInPlace()) {
        keep = true;
        return lock;
      }
      replaced += 1;
    } catch (error) {
      // The file was removed on its server: another has its name by now, or none.
      stale += 1;
      if (!isErrno(error, "ESTALE") || stale > mostStaleFiles) throw asSystemError("lock", path, error);
    } finally {
      if (!keep) closeSync(fd);
    }
  }
  return "busy";
}

/** A lock file that another process has opened and locked, as a descriptor of the same open file. */
export interface LockedElsewhere {
  readonly fd: number;
  readonly created: boolean;
}

/**
 * Takes the kernel lock by way of another process, which opens and locks the file each time that `lock` is called. The lock is
 * that process's: it outlives this one, and is released by whichever of the two unlocks it.
 */
export async function shareKernelLock(
  path: string,
  primitive: LockPrimitive,
  lock: () => LockedElsewhere | "busy",
): Promise<KernelLock | "busy"> {
  for (let replaced = 0; replaced < mostReplacements; replaced += 1) {
    const locked = lock();
    if (locked === "busy") return "busy";
    requirePlainFile(locked.fd, path);
    if (locked.created) shareAsFolderAsks(locked.fd, path);
    const shared = lockedFile(path, primitive, locked.fd, locked.created);
    if (await isSettled(shared)) return shared;
    shared.release();
  }
  return "busy";
}

/**
 * Takes the kernel lock that another process has locked and left to this one, by the descriptor that was inherited from it. Null
 * where the descriptor is not that of the file, or the file has another's lock by now: the descriptor is closed then.
 */
export async function inheritKernelLock(
  path: string,
  primitive: LockPrimitive,
  fd: number,
): Promise<KernelLock | null> {
  let keep = false;
  try {
    if (!leadsTo(path, fstatSync(fd, { bigint: true }))) return null;
    requirePlainFile(fd, path);
    if (tryLock(primitive, fd, path, "exclusive") === "busy") return null;
    const lock = lockedFile(path, primitive, fd, false);
    keep = await isSettled(lock);
    return keep ? lock : null;
  } catch (error) {
    if (isErrno(error, "EBADF")) return null;
    throw error;
  } finally {
    if (!keep) closeIfOpen(fd);
  }
}

function closeIfOpen(fd: number): void {
  try {
    closeSync(fd);
  } catch (error) {
    if (!isErrno(error, "EBADF")) throw error;
  }
}

/** Waits out an old holder that may still be about to unlink the file; false when the name leads elsewhere. */
async function isSettled(lock: KernelLock): Promise<boolean> {
  if (!lock.isInPlace()) return false;
  const ours = lock.previous.kind === "record" && lock.previous.record.trainlock !== null;
  if (lock.created || ours) return true;
  await sleep(unlinkGraceMs);
  return lock.isInPlace();
}

function openLockFile(path: string, mayMakeFolder = true): { fd: number; created: boolean } {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
  for (;;) {
    try {
      return inHeldFolder(path, (held) => {
        return { fd: createShared(held, flags | constants.O_EXCL), created: true };
      });
    } catch (error) {
      if (mayMakeFolder && isErrno(error, "ENOENT")) {
        makeHeldFolder(dirname(path)).close();
        continue;
      }
      if (!isErrno(error, "EEXIST"))
        throw asSystemError("open the lock file", path, error, ownerOf(path) ?? ownerOf(dirname(path)));
    }
    try {
      if (specialFileAt(path) !== null) throw notPlain(path, "it is not a regular file");
      const fd = inHeldFolder(path, (held) => onceAllowed(held, () => openSync(held, flags)));
      requirePlainFile(fd, path);
      return { fd, created: false };
    } catch (error) {
      if (isErrno(error, "EISDIR")) throw notPlain(path, "it is a folder");
      // Unlinked between the two calls: the process that did so is done with it.
      if (!isErrno(error, "ENOENT"))
        throw asSystemError("open the lock file", path, error, ownerOf(path) ?? ownerOf(dirname(path)));
    }
  }
}

/** Anybody who can write the folder can plant a link to somebody's file under our name, and we would write into it. */
function requirePlainFile(fd: number, path: string): void {
  const stats = fstatSync(fd);
  if (stats.isFile() && stats.nlink <= 1) return;
  closeSync(fd);
  throw notPlain(path, stats.isFile() ? `it has ${stats.nlink} hard links` : "it is not a regular file");
}

function notPlain(path: string, what: string): EnvironmentError {
  return systemError("use the lock file", path, "EINVAL", undefined, what, repairHint);
}

function lockedFile(path: string, primitive: LockPrimitive, fd: number, created: boolean): KernelLock {
  const bytes = () => readFresh(fd, path, (fresh) => readUpTo(fresh, largestRecordBytes + 1));
  const own = fstatSync(fd, { bigint: true });
  const previous: RecordReading = created ? { kind: "none" } : recordOfLockFile(path, own, bytes());
  // Should this claim come to nothing, its file must not look like one that was emptied.
  if (created && own.size === 0n && mayBeHeldUnseen(dirname(path))) writeWhole(fd, path, Buffer.from(unwritten));
  const release = () => {
    unlock(primitive, fd);
    closeSync(fd);
  };
  return {
    path,
    excludes: true,
    descriptors: [fd],
    inode: own.ino,
    recordPath: () => path,
    created,
    previous,
    records: () => [{ reading: previous, modifiedNs: own.mtimeNs, uid: Number(own.uid) }],
    isInPlace: () => isOpen(fd, own) && leadsTo(path, own),
    read: () => parseOwnerRecord(bytes()),
    write: (record) => writeWhole(fd, path, record),
    lockAgain: () => acquireKernelLock(path, primitive, true, false),
    release,
    abandon: () => {
      if (created) removeUnusedLockFile(path, fd);
      release();
    },
    leave: () => closeSync(fd),
  };
}

/** Whether the descriptor still is ours: closing a wrong one in this process would release its lock. */
function isOpen(fd: number, own: BigIntStats): boolean {
  try {
    return sameFile(fstatSync(fd, { bigint: true }), own);
  } catch (error) {
    if (isErrno(error, "EBADF", "ESTALE")) return false;
    throw error;
  }
}

/** Padded with spaces, which JSON ignores, to what was there: so one write replaces it all, and no crash leaves half. */
export function writeWhole(fd: number, path: string, record: Buffer): void {
  const size = fstatSync(fd).size;
  if (size > largestRecordBytes) ftruncateSync(fd, 0);
  const padding = size > largestRecordBytes ? 0 : Math.max(0, size - record.length);
  const whole = padding === 0 ? record : Buffer.concat([record, Buffer.alloc(padding, " ")]);
  try {
    writeAll(fd, whole, 0);
  } catch (error) {
    throw asSystemError("write the owner record to", path, error);
  }
}
