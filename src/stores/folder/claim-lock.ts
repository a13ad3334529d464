import { closeSync, constants, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { largestRecordBytes, type RecordReading } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { kernelLockStem } from "../../site/layout.ts";
import { inHeldFolder, makeHeldFolder } from "../../system/files/open-beneath.ts";
import { readUpTo } from "../../system/files/read-regular-file.ts";
import { createShared } from "../../system/files/shared-permissions.ts";
import { asSystemError, isErrno } from "../../system/libc/errno.ts";
import type { LockPrimitive } from "../../system/libc/flock.ts";
import { randomHex } from "../../system/random.ts";
import { acquireKernelLock, inheritKernelLock, type KernelLock, writeWhole } from "./kernel-lock.ts";
import { readLockRecord, readWrittenRecord, requireLockRecord, type WrittenRecord } from "./lock-file.ts";
import { mountOfLocks } from "./lock-mount.ts";
import { discard } from "./temporary-file.ts";

const claimSuffix = ".claim";

/** How a claim gets the lock under which it changes a marker: a kernel lock, or the stand-in for none. */
export type AcquireClaimLock = (lockPath: string, primitive: LockPrimitive) => Promise<KernelLock | "busy">;

/** A kernel lock wherever the file system is said to have them: that it then fails is a fault, never a reason to do without. */
export const acquireClaimLock: AcquireClaimLock = async (lockPath, primitive) =>
  keepsKernelLocks(dirname(lockPath)) ? acquireKernelLock(lockPath, primitive) : noKernelLock(lockPath);

/** The same for a process that another has left its lock to: the first attempt is made with that one. */
export function acquireLeftLock(fd: number): AcquireClaimLock {
  let left: number | null = fd;
  return async (lockPath, primitive) => {
    const given = left;
    left = null;
    const inherited = given === null ? null : await inheritKernelLock(lockPath, primitive, given);
    return inherited ?? acquireClaimLock(lockPath, primitive);
  };
}

/** The same for a process that clears: it gives the lock back before any run has lost patience. */
export const acquireLockToClear: AcquireClaimLock = async (lockPath, primitive) =>
  keepsKernelLocks(dirname(lockPath)) ? acquireKernelLock(lockPath, primitive, false) : noKernelLock(lockPath);

/** For stores that keep everybody out by other means, and for file systems whose locks tell nothing. */
export const withoutKernelLock: AcquireClaimLock = async (lockPath) => noKernelLock(lockPath);

/** False where the mount says that it has no locks. */
export function keepsKernelLocks(lockDir: string): boolean {
  return mountOfLocks(lockDir).lockScope !== "none";
}

/** Whether holding this lock keeps out every host that could change the same marker. */
export function excludesAllHosts({ path, excludes }: KernelLock): boolean {
  if (!excludes) return false;
  const { lockScope, shared } = mountOfLocks(dirname(path));
  return lockScope === "cluster" || shared === false;
}

/**
 * Stands in for the kernel lock where there is none to be had: keeps nobody out and proves nothing, so that a claim is its
 * marker alone. What would go into the lock file goes into one of its own beside it: many may write at once here, and no crash
 * must leave a marker that nothing describes. Throws an EnvironmentError when the lock file cannot be read.
 */
function noKernelLock(path: string): KernelLock {
  const previous = requireLockRecord(path);
  let own: { readonly path: string; readonly fd: number } | null = null;
  const release = () => {
    if (own === null) return;
    discard(own.path);
    closeSync(own.fd);
    own = null;
  };
  return {
    path,
    excludes: false,
    descriptors: [],
    // No file has this number, so that no host with kernel locks takes a free one for this claim's.
    inode: 0n,
    recordPath: () => own?.path ?? null,
    created: true,
    previous,
    records: () => [readWrittenRecord(path), ...recordsOfClaims(path)].filter((found) => found !== null),
    isInPlace: () => true,
    read: () => (own === null ? { kind: "none" } : parseOwnerRecord(readUpTo(own.fd, largestRecordBytes + 1))),
    write: (record) => {
      own ??= createOwn(path);
      writeWhole(own.fd, own.path, record);
    },
    lockAgain: async () => noKernelLock(path),
    release,
    abandon: release,
    // There is nothing to inherit.
    leave: release,
  };
}

/** The records of claims without kernel locks, crashed ones among them. */
export function recordsOfClaims(lockPath: string): WrittenRecord[] {
  return claimFiles(lockPath).flatMap((path) => readWrittenRecord(path) ?? []);
}

/** Called by the process that has just got the marker: records of claims that crashed before are of no use any more. */
export function sweepClaimFiles(kernel: KernelLock, isOwn: (reading: RecordReading) => boolean): void {
  for (const path of claimFiles(kernel.path)) if (!isOwn(readLockRecord(path))) discard(path);
}

function claimFiles(lockPath: string): string[] {
  const folder = dirname(lockPath);
  const stem = `${kernelLockStem(lockPath)}.`;
  try {
    const own = (name: string) => name.startsWith(stem) && /^[0-9a-f]{16}\.claim$/.test(name.slice(stem.length));
    return readdirSync(folder)
      .filter(own)
      .map((name) => join(folder, name));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw asSystemError("list", folder, error);
  }
}

function createOwn(lockPath: string): { path: string; fd: number } {
  const folder = dirname(lockPath);
  const path = join(folder, `${kernelLockStem(lockPath)}.${randomHex(8)}${claimSuffix}`);
  const flags = constants.O_RDWR | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    makeHeldFolder(folder).close();
    return inHeldFolder(path, (held) => {
      return { path, fd: createShared(held, flags) };
    });
  } catch (error) {
    throw asSystemError("create", path, error);
  }
}
