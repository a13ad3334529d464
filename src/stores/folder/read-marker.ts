import { type BigIntStats, lstatSync } from "node:fs";
import { dirname } from "node:path";
import { inodeNumber } from "../../model/inode.ts";
import type { MarkerFacts } from "../../model/lock-facts.ts";
import {
  largestRecordBytes,
  type OwnerRecord,
  type RecordReading,
  recordIn,
  type UnreadableRecord,
} from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { isPid } from "../../model/pid.ts";
import { markerPath, markerRecordPath } from "../../site/layout.ts";
import { type FileReading, readRegularFile, readRegularFileSoon } from "../../system/files/read-regular-file.ts";
import { ownerOf } from "../../system/files/shared-permissions.ts";
import { asSystemError, isErrno } from "../../system/libc/errno.ts";
import type { WrittenRecord } from "./lock-file.ts";

/** Far more than any writer's one line; enough to show that a file is no marker. */
const largestMarkerBytes = 64;

/** Reads a marker without trusting it: any file type, any bytes. Null when there is none. Throws when that cannot be known. */
export function readMarker(weightsDir: string): MarkerFacts | null {
  return readMarkerAt(markerPath(weightsDir));
}

/** The same under another name. */
export function readMarkerAt(path: string): MarkerFacts | null {
  const reading = readRegularFile(path, largestMarkerBytes);
  if (reading.kind === "absent") return null;
  // A marker that we may not read is somebody's. Any other failure proves nothing, and must not look like somebody's
  // lock.
  if (reading.kind === "failed" && (reading.opened || !isErrno(reading.error, "EACCES"))) {
    throw asSystemError("read the marker", path, reading.error);
  }
  const stats = (reading.kind === "failed" ? null : reading.stats) ?? statsOfUnreadable(path);
  if (stats === null) return null;
  const place = {
    inode: stats.ino,
    device: stats.dev,
    uid: Number(stats.uid),
    modifiedNs: stats.mtimeNs,
    changedNs: stats.ctimeNs,
    readAtMs: performance.now(),
  };
  if (reading.kind !== "file") return { pid: null, content: "foreign", why: reading.why, ...place };
  return { ...interpretMarker(reading.bytes), ...place };
}

/** A marker that cannot be opened still is one; a folder that cannot be searched is a fault, not a lock. */
function statsOfUnreadable(path: string): BigIntStats | null {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch (error) {
    const folder = dirname(path);
    throw asSystemError("look for a marker in", folder, error, ownerOf(folder));
  }
}

/**
 * The writers leave one line with a PID, or for an instant nothing. A text without any digit names no process. Other content
 * (two lines, binary, no possible PID) is of no known writer and proves nothing. So it must not look as free as an empty
 * file.
 */
function interpretMarker(bytes: Buffer): Pick<MarkerFacts, "pid" | "content" | "why"> {
  if (bytes.length > largestMarkerBytes) return { pid: null, content: "foreign", why: "longer than any marker" };
  const text = bytes.toString("latin1");
  const number = /^[ \t]*(\d{1,15})[ \t]*\r?\n?$/.exec(text)?.[1];
  if (number !== undefined) {
    const pid = Number(number);
    return isPid(pid)
      ? { pid, content: "pid", why: null }
      : { pid: null, content: "foreign", why: `${pid} is no possible PID` };
  }
  const plain = /^[\t\x20-\x7e]*\r?\n?$/.test(text);
  if (plain && !/\d/.test(text))
    return { pid: null, content: "empty", why: text.trim() === "" ? "empty" : "no number" };
  return { pid: null, content: "foreign", why: "not the one line with a PID that a marker has" };
}

export interface TiedRecord {
  /** Null when no record speaks of this very marker. */
  readonly record: OwnerRecord | null;
  /** Whether it lies beside the marker; else it was found in the lock file. */
  readonly beside: boolean;
  readonly problem: UnreadableRecord | null;
  /** The marker was last written at another time than the record says: it may be another's, which got the same numbers. */
  readonly otherTime: boolean;
}

/**
 * Returns the record that describes this very marker. Inode and PID are the same. The record is no older than the marker, both by
 * the file server's clock: inode numbers are used again. It was written by the marker's owner, root, or the user who asks. One
 * that names another time of that marker comes last. After a crash between placing the marker and writing the record beside it, a
 * record of `elsewhere`, outside the weights dir, is used.
 */
export function recordOfMarker(
  weightsDir: string,
  marker: MarkerFacts,
  elsewhere: () => readonly WrittenRecord[],
): TiedRecord {
  const beside = readMarkerRecord(weightsDir);
  const describing = (found: WrittenRecord | null) => (found === null || !isTied(found, marker) ? [] : [found]);
  const [own] = describing(beside.file);
  if (own !== undefined && isOfTime(own, marker)) return tied(own, true, false);
  const others = elsewhere().flatMap(describing);
  const other = others.find((found) => isOfTime(found, marker));
  if (other !== undefined) return tied(other, false, false);
  const doubtful = own ?? others[0];
  if (doubtful !== undefined) return tied(doubtful, doubtful === own, true);
  const problem = beside.reading.kind === "unreadable" ? beside.reading : null;
  return { record: null, beside: false, problem, otherTime: false };
}

function tied({ reading }: WrittenRecord, beside: boolean, otherTime: boolean): TiedRecord {
  return { record: recordIn(reading), beside, problem: null, otherTime };
}

function isTied({ reading, modifiedNs, uid }: WrittenRecord, marker: MarkerFacts): boolean {
  if (reading.kind !== "record" || !describesMarker(reading.record, marker)) return false;
  return modifiedNs >= marker.modifiedNs && (uid === marker.uid || uid === 0 || uid === process.geteuid?.());
}

function isOfTime({ reading }: WrittenRecord, marker: MarkerFacts): boolean {
  return isSameTime(recordIn(reading)?.trainlock?.markerTimeNs ?? null, marker.modifiedNs);
}

/** Servers and archives round times to a second or two, and servers' clocks differ; a number is not given again that soon. */
const sameTimeNs = 60_000_000_000n;

/** Whether a marker was last written when its record says. Older records say nothing of it. */
export function isSameTime(recorded: bigint | null, modifiedNs: bigint): boolean {
  if (recorded === null) return true;
  const apart = recorded - modifiedNs;
  return apart <= sameTimeNs && -apart <= sameTimeNs;
}

/** Whether a record speaks of this marker: its inode and its PID. */
export function describesMarker(record: OwnerRecord, marker: MarkerFacts): boolean {
  const inode = record.trainlock?.markerInode ?? null;
  return marker.pid !== null && inode === inodeNumber(marker.inode) && record.pid === marker.pid;
}

/** `file`: the same with its file's time and owner; null where no record file can be read. */
export function readMarkerRecord(weightsDir: string): { reading: RecordReading; file: WrittenRecord | null } {
  return interpretRecord(readRegularFile(markerRecordPath(weightsDir), largestRecordBytes));
}

/**
 * The record beside the marker, for a claim that counts on from it. Throws an EnvironmentError where the file system keeps it
 * from us: a generation that began again would let an earlier holder's writes pass.
 */
export function requireMarkerRecord(weightsDir: string): RecordReading {
  return requiredRecord(weightsDir, readRegularFile(markerRecordPath(weightsDir), largestRecordBytes));
}

/** The same, while other calls wait for the file server, too. */
export async function requireMarkerRecordSoon(weightsDir: string): Promise<RecordReading> {
  return requiredRecord(weightsDir, await readRegularFileSoon(markerRecordPath(weightsDir), largestRecordBytes));
}

function requiredRecord(weightsDir: string, file: FileReading): RecordReading {
  if (file.kind !== "failed") return interpretRecord(file).reading;
  const path = markerRecordPath(weightsDir);
  throw asSystemError("read the owner record", path, file.error, ownerOf(path));
}

function interpretRecord(file: FileReading): ReturnType<typeof readMarkerRecord> {
  if (file.kind === "absent") return { reading: { kind: "none" }, file: null };
  if (file.kind !== "file") return { reading: { kind: "unreadable", reason: file.why }, file: null };
  const reading = parseOwnerRecord(file.bytes);
  return { reading, file: { reading, modifiedNs: file.stats.mtimeNs, uid: Number(file.stats.uid) } };
}
