import { type BigIntStats, constants, lstatSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../../model/errors.ts";
import type { KernelLockState } from "../../model/lock-facts.ts";
import type { OwnerRecord, RecordReading } from "../../model/owner-record.ts";
import { sleep, withJitter } from "../../system/clock/sleep.ts";
import { closeRead } from "../../system/files/close-read.ts";
import { type FileReading, mostStaleFiles } from "../../system/files/read-regular-file.ts";
import { errnoOf, isErrno } from "../../system/libc/errno.ts";
import { type LockPrimitive, tryLock, unlock } from "../../system/libc/flock.ts";
import { flockHolderPids, heldInKernelTable, kernelTableKey } from "../../system/processes/flock-holders.ts";
import { isReleased } from "../claim-record.ts";
import { keepsKernelLocks } from "./claim-lock.ts";
import { readLockFile, readLockRecord, recordOfLockFile } from "./lock-file.ts";
import { readMarkerRecord } from "./read-marker.ts";

/** A would-block that lasts longer is no other probe. Where a record says that somebody holds it, less will do. */
const probePatienceMs = { recorded: 10, unrecorded: 100 } as const;

export interface ProbedKernelLock {
  readonly lock: KernelLockState;
  readonly reading: RecordReading;
  /** Null when nothing is there, or no regular file. */
  readonly stats: BigIntStats | null;
}

/**
 * Whether anybody holds the lock of a file; changes nothing on disk. A shared lock is asked for and given back at once: a
 * holder is not disturbed by that, nor are other probes of ours. `/proc/locks` would answer without any lock, but reading it
 * waits for all processors (10 ms and more), and it knows neither other hosts nor other containers; it stands in only for
 * files that may not be opened.
 */
export async function probeKernelLock(path: string, primitive: LockPrimitive): Promise<ProbedKernelLock> {
  const askedAtMs = performance.now();
  for (;;) {
    const { probed, patienceMs } = probeOnce(path, primitive, readLockFile(path));
    if (patienceMs === 0 || performance.now() - askedAtMs >= patienceMs) return probed;
    await sleep(withJitter(4));
  }
}

/** The same at once, for listings of many; null where somebody has it locked, which may be another probe. `file`: as just read. */
export function probeIdleKernelLock(
  path: string,
  primitive: LockPrimitive,
  file: FileReading = readLockFile(path),
): ProbedKernelLock | null {
  const { probed, patienceMs } = probeOnce(path, primitive, file);
  return patienceMs === 0 ? probed : null;
}

/** `patienceMs`: how long it is to be asked again until what was found counts; 0: it counts at once. */
function probeOnce(
  path: string,
  primitive: LockPrimitive,
  file: FileReading,
): { readonly probed: ProbedKernelLock; readonly patienceMs: number } {
  const sure = (probed: ProbedKernelLock) => ({ probed, patienceMs: 0 });
  const none = !keepsKernelLocks(dirname(path));
  if (file.kind === "absent")
    return sure({ lock: { state: none ? "none" : "absent" }, reading: { kind: "none" }, stats: null });
  if (file.kind !== "file") {
    const stats = (file.kind === "failed" ? null : file.stats) ?? statsOf(path);
    const listed = stats !== null && heldInKernelTable().has(kernelTableKey(stats.dev, stats.ino));
    const lock: KernelLockState = listed ? { state: "held" } : { state: "unknown", why: file.why };
    return sure({ lock, reading: { kind: "unreadable", reason: file.why }, stats });
  }
  const reading = recordOfLockFile(path, file.stats, file.bytes);
  if (none) return sure({ lock: { state: "none" }, reading, stats: file.stats });
  const lock = askByLocking(path, primitive);
  const probed = { lock, reading, stats: file.stats };
  if (lock.state !== "held") return sure(probed);
  const recorded = reading.kind === "record" && !isReleased(reading.record);
  return { probed, patienceMs: recorded ? probePatienceMs.recorded : probePatienceMs.unrecorded };
}

function askByLocking(path: string, primitive: LockPrimitive): KernelLockState {
  for (let stale = 0; ; ) {
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return { state: "absent" };
      return { state: "unknown", why: errnoOf(error) ?? String(error) };
    }
    try {
      if (tryLock(primitive, fd, path, "shared") !== "locked") return { state: "held" };
      unlock(primitive, fd);
      return { state: "free" };
    } catch (error) {
      stale += 1;
      if (!isErrno(error, "ESTALE") || stale > mostStaleFiles) return { state: "unknown", why: messageOf(error) };
    } finally {
      closeRead(fd);
    }
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
  const reading = readLockRecord(path);
  if (reading.kind === "record" && !isReleased(reading.record)) {
    const record = reading.record;
    return { record, pid: record.pid ?? openHolderPid(path) };
  }
  const beside = weightsDir === null ? null : unreleasedMarkerRecord(weightsDir);
  if (beside !== null) return { record: beside, pid: beside.pid };
  return { record: null, pid: openHolderPid(path) };
}

/** The record beside a marker, where it speaks of a claim that is not released. */
export function unreleasedMarkerRecord(weightsDir: string): OwnerRecord | null {
  const { reading } = readMarkerRecord(weightsDir);
  return reading.kind === "record" && !isReleased(reading.record) ? reading.record : null;
}

function openHolderPid(path: string): number | null {
  const stats = statsOf(path);
  return stats === null ? null : (flockHolderPids(path, stats)[0] ?? null);
}
