import { type BigIntStats, lstatSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../../model/errors.ts";
import type { KernelLockState } from "../../model/lock-facts.ts";
import type { OwnerRecord, RecordReading } from "../../model/owner-record.ts";
import { sleep, withJitter } from "../../system/clock/sleep.ts";
import type { FileReading, WhileOpen } from "../../system/files/read-regular-file.ts";
import { isErrno } from "../../system/libc/errno.ts";
import { type LockPrimitive, tryLock, unlock } from "../../system/libc/flock.ts";
import { flockHolderPids, heldInKernelTable, kernelTableKey } from "../../system/processes/flock-holders.ts";
import { isReleased, isSignedOff } from "../claim-record.ts";
import { keepsKernelLocks } from "./claim-lock.ts";
import { readLockFile, readLockFileSoon, readLockRecord, recordOfLockFile } from "./lock-file.ts";
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
    const { probed, patienceMs } = probedNow(path, primitive);
    if (patienceMs === 0 || performance.now() - askedAtMs >= patienceMs) return probed;
    await sleep(withJitter(4));
  }
}

/** The same at once, for listings of many; null where somebody has it locked, which may be another probe. */
export function probeIdleKernelLock(path: string, primitive: LockPrimitive): ProbedKernelLock | null {
  return ifIdle(probedNow(path, primitive));
}

/** The same, while other calls wait for the file server, too. */
export async function probeIdleKernelLockSoon(
  path: string,
  primitive: LockPrimitive,
): Promise<ProbedKernelLock | null> {
  const open = new OpenLockFile(path, primitive);
  return ifIdle(probeOf(path, await readLockFileSoon(path, open.ask), open));
}

function ifIdle({ probed, patienceMs }: Probe): ProbedKernelLock | null {
  return patienceMs === 0 ? probed : null;
}

function probedNow(path: string, primitive: LockPrimitive): Probe {
  const open = new OpenLockFile(path, primitive);
  return probeOf(path, readLockFile(path, open.ask), open);
}

interface Probe {
  readonly probed: ProbedKernelLock;
  /** How long it is to be asked again until what was found counts; 0: it counts at once. */
  readonly patienceMs: number;
}

function probeOf(path: string, file: FileReading, { reading, lock }: OpenLockFile): Probe {
  const sure = (probed: ProbedKernelLock) => ({ probed, patienceMs: 0 });
  if (file.kind === "absent") {
    const state = keepsKernelLocks(dirname(path)) ? "absent" : "none";
    return sure({ lock: { state }, reading: { kind: "none" }, stats: null });
  }
  if (file.kind !== "file") {
    const stats = (file.kind === "failed" ? null : file.stats) ?? statsOf(path);
    const listed = stats !== null && heldInKernelTable().has(kernelTableKey(stats.dev, stats.ino));
    const state: KernelLockState = listed ? { state: "held" } : { state: "unknown", why: file.why };
    return sure({ lock: state, reading: { kind: "unreadable", reason: file.why }, stats });
  }
  const probed = { lock, reading, stats: file.stats };
  if (lock.state !== "held") return sure(probed);
  const recorded = reading.kind === "record" && !isReleased(reading.record);
  return { probed, patienceMs: recorded ? probePatienceMs.recorded : probePatienceMs.unrecorded };
}

/** What a lock file says while it is open: first its record, then its lock. */
class OpenLockFile {
  reading: RecordReading = { kind: "none" };
  lock: KernelLockState = { state: "none" };
  readonly #path: string;
  readonly #primitive: LockPrimitive;

  constructor(path: string, primitive: LockPrimitive) {
    this.#path = path;
    this.#primitive = primitive;
  }

  readonly ask: WhileOpen = (fd, { bytes, stats }) => {
    const path = this.#path;
    this.reading = recordOfLockFile(path, stats, bytes);
    if (!keepsKernelLocks(dirname(path))) return;
    this.lock = askByLocking(fd, path, this.#primitive);
    // Old jobs remove their lock file once they have released it. Another may have made one and locked it since.
    if (this.lock.state === "free" && !isSignedOff(this.reading) && isReplaced(path, stats))
      throw Object.assign(new Error(`${path} was replaced while it was looked at`), { code: "ESTALE" });
  };
}

function askByLocking(fd: number, path: string, primitive: LockPrimitive): KernelLockState {
  try {
    if (tryLock(primitive, fd, path, "shared") !== "locked") return { state: "held" };
    unlock(primitive, fd);
    return { state: "free" };
  } catch (error) {
    // Its server no longer knows this file: there may be another of its name.
    if (isErrno(error, "ESTALE")) throw error;
    return { state: "unknown", why: messageOf(error) };
  }
}

function isReplaced(path: string, { dev, ino }: BigIntStats): boolean {
  const now = statsOf(path);
  return now === null || now.dev !== dev || now.ino !== ino;
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
