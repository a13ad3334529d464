import { closeSync, constants, openSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { largestRecordBytes, type RecordReading } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { kernelLockStem } from "../../site/layout.ts";
import { readUpTo } from "../../system/files/read-regular-file.ts";
import { makeSharedFolder, shareAsFolderAsks } from "../../system/files/shared-permissions.ts";
import { asSystemError, isErrno } from "../../system/libc/errno.ts";
import { randomHex } from "../../system/random.ts";
import { type KernelLock, writeWhole } from "./kernel-lock.ts";
import { readLockRecord, requireLockRecord } from "./lock-record.ts";
import { discard } from "./temporary-file.ts";

const suffix = ".claim";

/**
 * Stands in for the kernel lock where there is none to be had: keeps nobody out and proves nothing, so that a claim is its
 * marker alone. What would go into the lock file goes into one of its own beside it: many may write at once here, and no crash
 * must leave a marker that nothing describes. Throws an EnvironmentError when the lock file cannot be read.
 */
export function noKernelLock(path: string): KernelLock {
  const previous = requireLockRecord(path);
  let own: { readonly path: string; readonly fd: number } | null = null;
  return {
    path,
    excludes: false,
    descriptors: [],
    // No file has this number, so that no host with kernel locks takes a free one for this claim's.
    inode: 0n,
    created: true,
    previous,
    records: () => [previous, ...recordsOfClaims(path)],
    isInPlace: () => true,
    read: () => (own === null ? { kind: "none" } : parseOwnerRecord(readUpTo(own.fd, largestRecordBytes + 1))),
    write: (record) => {
      own ??= createOwn(path);
      writeWhole(own.fd, own.path, record);
    },
    release: () => {
      if (own === null) return;
      discard(own.path);
      closeSync(own.fd);
      own = null;
    },
  };
}

/** What claims without kernel locks say of themselves, those that crashed among them. */
export function recordsOfClaims(lockPath: string): RecordReading[] {
  return claimFiles(lockPath).map(readLockRecord);
}

/** For whoever has just got the marker: nobody needs the word of those that crashed before. */
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
  const path = join(folder, `${kernelLockStem(lockPath)}.${randomHex(8)}${suffix}`);
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  try {
    makeSharedFolder(folder);
    const fd = openSync(path, flags, 0o664);
    shareAsFolderAsks(fd, path);
    return { path, fd };
  } catch (error) {
    throw asSystemError("create", path, error);
  }
}
