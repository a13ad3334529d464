import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError, TrainlockError } from "../model/errors.ts";
import type { Verdict } from "../model/evidence.ts";
import type { MayClear } from "../model/examine.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import { type RecordReading, recordIn } from "../model/owner-record.ts";
import { serializeOwnerRecord } from "../model/serialize-owner-record.ts";
import type { Layout } from "../site/layout.ts";
import { isSignedOff } from "../stores/claim-record.ts";
import { asCleared } from "../stores/earlier-runs.ts";
import { acquireLockToClear } from "../stores/folder/claim-lock.ts";
import { interpretFreeLock, removeLockFile, unwritten } from "../stores/folder/lock-file.ts";
import { openRemoteLocks } from "../stores/open-remote-locks.ts";
import { localIso, nowMicroseconds } from "../system/clock/local-time.ts";
import { asSystemError } from "../system/libc/errno.ts";
import { locksOf } from "./check-configuration.ts";
import { clearMarker } from "./clear-marker.ts";
import { type ListRequest, listLocks } from "./list-locks.ts";
import type { LockReport } from "./lock-report.ts";

export interface ClearResult {
  readonly dryRun: boolean;
  /** The locks that were removed, or in a dry run those that would be. */
  readonly removed: readonly LockReport[];
  readonly kept: readonly LockReport[];
  /** Those of `kept` that were to be removed and turned out to be alive, or another's, at the last look. */
  readonly changed: readonly LockReport[];
  readonly failed: readonly { readonly lock: LockReport; readonly error: TrainlockError }[];
}

export interface ClearRequest extends Omit<ListRequest, "verify"> {
  readonly dryRun: boolean;
  /** Unknown locks too. Active ones never. */
  readonly force: boolean;
  /** The only one whose locks are meant; null: all. */
  readonly configuration: Configuration | null;
}

/** Removes what is provably nobody's. Each lock is judged again, under its kernel lock, at the moment of its removal. */
export async function clearLocks(request: ClearRequest): Promise<ClearResult> {
  const { dryRun, force, examine } = request;
  // What nobody here can reach, nobody here removes.
  const clearable = (verdict: Verdict) =>
    verdict.status === "stale" ||
    (force && verdict.status === "unknown" && verdict.because !== "link leads nowhere here");
  const mayClear: MayClear = async (facts) => clearable((await examine(facts)).verdict);
  const removed: LockReport[] = [];
  const kept: LockReport[] = [];
  const changed: LockReport[] = [];
  const failed: { lock: LockReport; error: TrainlockError }[] = [];
  for (const lock of await meantLocks(request)) {
    if (!clearable(lock.verdict)) {
      kept.push(lock);
      continue;
    }
    try {
      if (dryRun || (await removeLock(request.layout, lock, mayClear))) removed.push(lock);
      else changed.push(lock);
    } catch (error) {
      const fault = asSystemError("clear", lock.path, error);
      if (!(fault instanceof TrainlockError)) throw error;
      failed.push({ lock, error: lock.kind === "file" && isFull(fault) ? keptForSpace(lock, fault) : fault });
    }
  }
  return { dryRun, removed, kept: [...kept, ...changed], changed, failed };
}

function isFull({ code }: TrainlockError): boolean {
  return code === "ENOSPC" || code === "EDQUOT";
}

/** Nothing of it has been changed by then. */
function keptForSpace({ path }: LockReport, fault: TrainlockError): TrainlockError {
  const message = `not cleared, and as it was: ${path}: ${fault.code}; clear writes a file beside a marker before it removes that`;
  return new EnvironmentError(message, { code: fault.code, hint: fault.hint ?? "free some space", cause: fault });
}

function meantLocks(request: ClearRequest): Promise<LockReport[]> {
  const { layout, configuration, examine, kinds } = request;
  return configuration === null
    ? listLocks({ ...request, verify: true })
    : locksOf(layout, configuration, examine).then((locks) => locks.filter(({ kind }) => kinds.includes(kind)));
}

/** What a file says once its lock is cleared. A record that only another trainlock can read keeps all that it says. */
function signedOff(reading: RecordReading): Buffer {
  if (reading.kind === "record") return serializeOwnerRecord(asCleared(reading.record));
  const document = reading.kind === "unreadable" ? reading.section?.document : undefined;
  const own = document?.trainlock;
  if (typeof own !== "object" || own === null || Array.isArray(own)) return Buffer.from(unwritten);
  const trainlock = { ...own, released_at: localIso(nowMicroseconds()) };
  return Buffer.from(`${JSON.stringify({ ...document, trainlock }, null, 2)}\n`);
}

async function removeLock(layout: Layout, lock: LockReport, mayClear: MayClear): Promise<boolean> {
  switch (lock.kind) {
    case "file":
      return clearMarker(layout, lock, mayClear);
    case "fcntl":
      return clearKernelLock(layout, lock, mayClear);
    case "etcd":
      return (await openRemoteLocks(layout))?.clear(lock.path, mayClear) ?? false;
  }
}

/**
 * The file stays, as it does at every release; its record is signed off, so that it is a lock no more. Where the file
 * cannot be locked, it was left when it could be, and is removed.
 */
async function clearKernelLock(layout: Layout, lock: LockReport, mayClear: MayClear): Promise<boolean> {
  const kernel = await acquireLockToClear(lock.path, layout.site.lockPrimitive);
  if (kernel === "busy") return false;
  try {
    const reading = kernel.previous;
    if ((kernel.created && kernel.excludes) || reading.kind === "none") return false;
    if (isSignedOff(reading)) return false;
    const record = recordIn(reading);
    const facts: LockFacts = {
      kind: "fcntl",
      name: lock.name,
      path: lock.path,
      lockPath: lock.path,
      weightsDir: lock.weightsDir,
      kernelLock: interpretFreeLock(record, kernel),
      record,
      recordProblem: reading.kind === "unreadable" ? reading : null,
      marker: null,
      pid: record?.pid ?? null,
      startedAt: lock.startedAt,
    };
    if (!(await mayClear(facts))) return false;
    if (!kernel.excludes) return removeLockFile(lock.path, reading);
    kernel.write(signedOff(reading));
    return true;
  } finally {
    kernel.release();
  }
}
