import { type BigIntStats, closeSync, constants, lstatSync, openSync } from "node:fs";
import type { KernelLockState } from "../model/lock-facts.ts";
import { largestRecordBytes, type OwnerRecord, parseOwnerRecord, type RecordReading } from "../model/owner-record.ts";
import { errnoOf, isErrno } from "../system/errno.ts";
import { tryFlock, unlockFlock } from "../system/flock.ts";
import { flockHolderPids, heldInKernelTable, kernelTableKey } from "../system/flock-holders.ts";
import { readRegularFile } from "../system/read-regular-file.ts";
import { sleep, withJitter } from "../system/sleep.ts";
import { isReleased } from "./claim-record.ts";
import { readMarkerRecord } from "./marker-reading.ts";

/** A would-block that lasts longer than this is no other probe. */
const probePatienceMs = 100;

export interface ProbedKernelLock {
  readonly lock: KernelLockState;
  readonly reading: RecordReading;
  /** Null when nothing is there, or no regular file. */
  readonly stats: BigIntStats | null;
}

/**
 * Whether anybody holds the lock of a file; changes nothing on disk. The kernel's own table answers for most held locks
 * without touching them. Only where it shows nothing (it hides other PID namespaces, and knows no other host) a shared
 * lock is taken for an instant: probes do not disturb one another, and a holder cannot be disturbed at all.
 */
export async function probeKernelLock(
  path: string,
  table: ReadonlySet<string> = heldInKernelTable(),
): Promise<ProbedKernelLock> {
  const file = readRegularFile(path, largestRecordBytes);
  if (file.kind === "absent") return { lock: { state: "absent" }, reading: { kind: "none" }, stats: null };
  const stats = file.stats ?? statsOf(path);
  const reading: RecordReading =
    file.kind === "file" ? parseOwnerRecord(file.bytes) : { kind: "unreadable", reason: file.why };
  const inTable = stats !== null && table.has(kernelTableKey(stats.dev, stats.ino));
  // An entry may be the instant of another tool's probe; a record that is not signed off tells them apart.
  if (inTable && reading.kind === "record" && !isReleased(reading.record))
    return { lock: { state: "held" }, reading, stats };
  if (file.kind === "unreadable") {
    return { lock: inTable ? { state: "held" } : { state: "unknown", why: file.why }, reading, stats };
  }
  return { lock: await askByLocking(path), reading, stats };
}

async function askByLocking(path: string): Promise<KernelLockState> {
  const giveUpAt = performance.now() + probePatienceMs;
  for (;;) {
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return { state: "absent" };
      return { state: "unknown", why: errnoOf(error) ?? String(error) };
    }
    try {
      if (tryFlock(fd, path, "shared") === "locked") {
        unlockFlock(fd);
        return { state: "free" };
      }
      if (performance.now() >= giveUpAt) return { state: "held" };
    } catch (error) {
      return { state: "unknown", why: error instanceof Error ? error.message : String(error) };
    } finally {
      closeSync(fd);
    }
    await sleep(withJitter(10));
  }
}

function statsOf(path: string): BigIntStats | null {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}

/**
 * Who holds a kernel lock that is known to be held: the record in it; else, since every Python contender truncates that,
 * the record beside the marker; else the process that has the locked file open.
 */
export function kernelHolder(
  path: string,
  weightsDir: string | null,
): { record: OwnerRecord | null; pid: number | null } {
  const file = readRegularFile(path, largestRecordBytes);
  const reading: RecordReading = file.kind === "file" ? parseOwnerRecord(file.bytes) : { kind: "none" };
  if (reading.kind === "record" && !isReleased(reading.record)) {
    const record = reading.record;
    return { record, pid: record.pid ?? openHolderPid(path) };
  }
  const beside = weightsDir === null ? null : unreleasedMarkerRecord(weightsDir);
  if (beside !== null) return { record: beside, pid: beside.pid };
  return { record: null, pid: openHolderPid(path) };
}

/** The record beside a marker, where it speaks of a claim that is not signed off. */
export function unreleasedMarkerRecord(weightsDir: string): OwnerRecord | null {
  const { reading } = readMarkerRecord(weightsDir);
  return reading.kind === "record" && !isReleased(reading.record) ? reading.record : null;
}

function openHolderPid(path: string): number | null {
  const stats = statsOf(path);
  return stats === null ? null : (flockHolderPids(path, stats)[0] ?? null);
}
