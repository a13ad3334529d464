import { probeKernelLock } from "../locks/kernel-lock-probe.ts";
import { readMarker, recordOfMarker } from "../locks/marker-reading.ts";
import { freeLockState } from "../locks/owners-lock-file.ts";
import { type Layout, markerPath } from "../model/layout.ts";
import { localIso } from "../model/local-time.ts";
import type { KernelLockState, LockFacts } from "../model/lock-facts.ts";
import { configurationOf, largestRecordBytes, type OwnerRecord, type RecordReading } from "../model/owner-record.ts";
import { parseOwnerRecord } from "../model/parse-owner-record.ts";
import { freshFlag } from "../system/fresh-read.ts";
import { readRegularFile } from "../system/read-regular-file.ts";

/** The marker of a weights dir with all that is written about it; null where there is none. */
export async function markerFacts(
  layout: Layout,
  weightsDir: string,
  /** False: nobody is asked, only files are read. */
  verify: boolean,
  /** The kernel lock that this marker's claim would hold. */
  lockPath: string = layout.kernelLockPathOfWeightsDir(weightsDir),
): Promise<LockFacts | null> {
  const marker = readMarker(weightsDir);
  if (marker === null) return null;
  const { record, problem } = recordOfMarker(weightsDir, marker, () => recordIn(lockPath));
  const owner = record === null ? null : configurationOf(record);
  const ownerLockPath = owner === null ? lockPath : layout.kernelLockPath(owner);
  const kernelLock = owner !== null && verify ? await askOwnersLock(ownerLockPath, record) : absent;
  const modified = localIso(Number(marker.modifiedNs / 1000n));
  return {
    kind: "file",
    name: layout.displayNameOfWeightsDir(weightsDir),
    path: markerPath(weightsDir),
    lockPath: ownerLockPath,
    weightsDir,
    kernelLock,
    record,
    recordProblem: problem,
    marker,
    pid: marker.pid,
    startedAt: record?.acquiredAt ?? modified,
  };
}

const absent: KernelLockState = { state: "absent" };

async function askOwnersLock(path: string, record: OwnerRecord | null): Promise<KernelLockState> {
  const { lock, stats } = await probeKernelLock(path);
  return lock.state === "free" && stats !== null ? freeLockState(record, { inode: stats.ino, created: false }) : lock;
}

function recordIn(path: string): RecordReading {
  const file = readRegularFile(path, largestRecordBytes, freshFlag(path));
  return file.kind === "file" ? parseOwnerRecord(file.bytes) : { kind: "none" };
}
