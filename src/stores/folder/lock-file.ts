import { linkSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { inodeNumber } from "../../model/inode.ts";
import type { KernelLockState } from "../../model/lock-facts.ts";
import { largestRecordBytes, type OwnerRecord, type RecordReading } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { freshFlag } from "../../system/files/fresh-read.ts";
import { type FileReading, readRegularFile } from "../../system/files/read-regular-file.ts";
import { ownerOf } from "../../system/files/shared-permissions.ts";
import { asSystemError, isErrno } from "../../system/libc/errno.ts";
import { randomHex } from "../../system/random.ts";
import { discard } from "./temporary-file.ts";

/** The owner record in a lock file as the server has it now; `none` also where the file is not there or cannot be read. */
export function readLockRecord(path: string): RecordReading {
  return recordIn(readLockFile(path));
}

/** The same for a claim that counts on from it. Throws an EnvironmentError where the file system keeps it from us. */
export function requireLockRecord(path: string): RecordReading {
  const file = readLockFile(path);
  if (file.kind === "failed") throw asSystemError("read the owner record", path, file.error, ownerOf(path));
  return recordIn(file);
}

export function readLockFile(path: string): FileReading {
  return readRegularFile(path, largestRecordBytes, freshFlag(path));
}

function recordIn(file: FileReading): RecordReading {
  return file.kind === "file" ? parseOwnerRecord(file.bytes) : { kind: "none" };
}

/**
 * What a free lock file proves about the owner in `record`: nothing where the file system keeps no locks, and nothing if it is
 * not the very file that the owner locked, since a file made after an unlink looks the same. An inode number is not used again
 * while its file is held open, so a living owner's file cannot be mistaken.
 */
export function interpretFreeLock(
  record: OwnerRecord | null,
  file: { readonly inode: bigint; readonly created: boolean; readonly excludes: boolean },
): KernelLockState {
  if (!file.excludes) return { state: "none" };
  const locked = record?.trainlock?.lockInode ?? null;
  const same = locked === null ? !file.created : locked === inodeNumber(file.inode);
  return { state: same ? "free" : "absent" };
}

/** Removes a lock file that nobody can lock, by a rename: one that says something else by now goes back. */
export function removeLockFile(path: string, judged: RecordReading): boolean {
  const away = `${path}.${randomHex(8)}.tmp`;
  try {
    renameSync(path, away);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw asSystemError("remove", path, error);
  }
  // Loaded here: it costs every start 2 ms, and few calls remove a lock file.
  const { isDeepStrictEqual }: typeof import("node:util") = createRequire(import.meta.url)("node:util");
  const same = isDeepStrictEqual(readLockRecord(away), judged);
  if (!same) {
    try {
      linkSync(away, path);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw asSystemError("put back", path, error);
    }
  }
  discard(away);
  return same;
}
