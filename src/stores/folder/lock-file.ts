import { type BigIntStats, linkSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { inodeNumber } from "../../model/inode.ts";
import type { KernelLockState } from "../../model/lock-facts.ts";
import { largestRecordBytes, type OwnerRecord, type RecordReading } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { folderStats } from "../../system/files/folder-stats.ts";
import { freshFlag } from "../../system/files/fresh-read.ts";
import {
  type FileReading,
  readRegularFile,
  readRegularFileSoon,
  type WhileOpen,
} from "../../system/files/read-regular-file.ts";
import { ownerOf } from "../../system/files/shared-permissions.ts";
import { asSystemError, isErrno } from "../../system/libc/errno.ts";
import { randomHex } from "../../system/random.ts";
import { mayBeHeldUnseen } from "./lock-mount.ts";
import { discard } from "./temporary-file.ts";

/** The owner record in a lock file as the server has it now; `none` also where the file is not there or cannot be read. */
export function readLockRecord(path: string): RecordReading {
  return recordIn(path, readLockFile(path));
}

/** The same for a claim that counts on from it. Throws an EnvironmentError where the file system keeps it from us. */
export function requireLockRecord(path: string): RecordReading {
  const file = readLockFile(path);
  if (file.kind === "failed") throw asSystemError("read the owner record", path, file.error, ownerOf(path));
  return recordIn(path, file);
}

/** A record that is written outside of a weights dir, with what its file says of when it was written, and by whom. */
export interface WrittenRecord {
  readonly reading: RecordReading;
  /** Nanoseconds since the epoch, by the file server's clock. */
  readonly modifiedNs: bigint;
  /** User id of the file's owner. */
  readonly uid: number;
}

/** The record in a lock file with its file's time and owner; null where there is none. */
export function readWrittenRecord(path: string): WrittenRecord | null {
  const file = readLockFile(path);
  if (file.kind !== "file") return null;
  return { reading: recordIn(path, file), modifiedNs: file.stats.mtimeNs, uid: Number(file.stats.uid) };
}

export function readLockFile(path: string, whileOpen?: WhileOpen): FileReading {
  return readRegularFile(path, largestRecordBytes, { extraFlags: freshFlag(path), whileOpen });
}

/** The same, while other calls wait for the file server, too. */
export function readLockFileSoon(path: string, whileOpen: WhileOpen): Promise<FileReading> {
  return readRegularFileSoon(path, largestRecordBytes, { extraFlags: freshFlag(path), whileOpen });
}

function recordIn(path: string, file: FileReading): RecordReading {
  return file.kind === "file" ? recordOfLockFile(path, file.stats, file.bytes) : { kind: "none" };
}

/**
 * What a lock file says of its owner. Contenders of the old writers empty it before they know whether the lock is free. Where
 * locks do not show a holder on another host, an emptied file counts as one whose record cannot be read. It does not count as
 * a file without a record.
 */
export function recordOfLockFile(path: string, stats: BigIntStats, bytes: Uint8Array): RecordReading {
  const reading = parseOwnerRecord(bytes);
  if (reading.kind !== "none" || bytes.length > 0 || !mayBeHeldUnseen(dirname(path))) return reading;
  const folder = folderStats(dirname(path));
  if (folder !== undefined && isAsMade(stats, folder)) return reading;
  return { kind: "unreadable", reason: "emptied, as an old job does while another holds it" };
}

/** What a lock file of ours holds until its first record, where it might be taken for an emptied one. */
export const unwritten = "\n";

const clockGrainNs = 1_000_000n;
type Times = Pick<BigIntStats, "birthtimeNs" | "mtimeNs" | "ctimeNs">;

/**
 * Whether nobody has written to a file or emptied it since it was made, by the time at which it was made. If the file system
 * does not keep that time, the runtime shows 0 or the last change instead, for the folder too. Pure.
 */
export function isAsMade({ birthtimeNs, mtimeNs }: Times, folder: Times): boolean {
  if (birthtimeNs === 0n || folder.birthtimeNs === folder.ctimeNs) return false;
  return mtimeNs - birthtimeNs <= clockGrainNs;
}

/**
 * What a free lock file proves about the owner in `record`. It proves nothing if the file system keeps no locks. It also
 * proves nothing if it is not the very file that the owner locked: a file made after an unlink looks the same. An inode
 * number is not used again while its file is held open, so a living owner's file cannot be mistaken.
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

/**
 * Whether a lock file that somebody holds has the record of another claim than this one: then that it is held says nothing
 * about this claim's owner. Whoever holds it writes its record at once.
 */
export function isOfAnotherClaim(held: RecordReading, record: OwnerRecord | null): boolean {
  const token = record?.trainlock?.token ?? null;
  const theirs = held.kind === "record" ? (held.record.trainlock?.token ?? null) : null;
  return token !== null && theirs !== null && token !== theirs;
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
