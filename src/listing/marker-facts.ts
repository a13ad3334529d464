import { dirname } from "node:path";
import type { KernelLockState, LockFacts } from "../model/lock-facts.ts";
import { configurationOf, type OwnerRecord } from "../model/owner-record.ts";
import { type Layout, markerPath } from "../site/layout.ts";
import { markerBehindLink } from "../stores/folder/behind-link.ts";
import { keepsKernelLocks, recordsOfClaims } from "../stores/folder/claim-lock.ts";
import { probeKernelLock } from "../stores/folder/kernel-lock-probe.ts";
import {
  interpretFreeLock,
  isOfAnotherClaim,
  readWrittenRecord,
  type WrittenRecord,
} from "../stores/folder/lock-file.ts";
import { readMarker, recordOfMarker } from "../stores/folder/read-marker.ts";
import { localIso } from "../system/clock/local-time.ts";
import { shownPath } from "../system/files/byte-names.ts";

/**
 * The marker of a weights dir with all that is written about it; null where there is none. Behind a link that leads nowhere here
 * it may be.
 */
export async function markerFacts(
  layout: Layout,
  weightsDir: string,
  /** False: nobody is asked, only files are read. */
  verify: boolean,
  /** The kernel lock that this marker's claim would hold. */
  lockPath: string = layout.kernelLockPathOfWeightsDir(shownPath(weightsDir).text),
): Promise<LockFacts | null> {
  const name = layout.displayNameOfWeightsDir(shownPath(weightsDir).text);
  const marker = readMarker(weightsDir);
  if (marker === null) return markerBehindLink(layout, weightsDir, name, lockPath);
  const { record, problem, otherTime } = recordOfMarker(weightsDir, marker, () => recordsAt(lockPath));
  const owner = record === null ? null : configurationOf(record);
  const ownerLockPath = owner === null ? lockPath : layout.kernelLockPath(owner);
  const kernelLock = owner !== null && verify ? await askOwnersLock(layout, ownerLockPath, record) : absent;
  const modified = localIso(Number(marker.modifiedNs / 1000n));
  return {
    kind: "file",
    name,
    path: markerPath(weightsDir),
    lockPath: ownerLockPath,
    weightsDir,
    kernelLock,
    record,
    recordProblem: problem,
    otherTime,
    marker,
    pid: marker.pid,
    startedAt: record?.acquiredAt ?? modified,
  };
}

const absent: KernelLockState = { state: "absent" };

async function askOwnersLock(layout: Layout, path: string, record: OwnerRecord | null): Promise<KernelLockState> {
  const { lock, stats, reading } = await probeKernelLock(path, layout.site.lockPrimitive);
  // The claim of a marker that was copied or renamed is another than the one that holds its lock by now.
  if (lock.state === "held" && isOfAnotherClaim(reading, record)) return absent;
  return lock.state === "free" && stats !== null
    ? interpretFreeLock(record, { inode: stats.ino, created: false, excludes: true })
    : lock;
}

function recordsAt(lockPath: string): WrittenRecord[] {
  const inLockFile = readWrittenRecord(lockPath);
  const found = inLockFile === null ? [] : [inLockFile];
  return keepsKernelLocks(dirname(lockPath)) ? found : [...found, ...recordsOfClaims(lockPath)];
}
