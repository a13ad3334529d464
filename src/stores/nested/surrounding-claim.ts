import { lstatSync } from "node:fs";
import type { ClaimStatus } from "../../model/claim-status.ts";
import type { Configuration } from "../../model/configuration.ts";
import { belongsToAnother, type OwnerRecord, recordIn } from "../../model/owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { holdsFlock } from "../../system/processes/flock-holders.ts";
import { ancestorsOf, readTreeProcess } from "../../system/processes/process-tree.ts";
import { schedulerJob } from "../../system/processes/scheduler-job.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { isSameRun } from "../../system/processes/training-processes.ts";
import { isReleased } from "../claim-record.ts";
import { claimStatusOf } from "../folder/claim-status.ts";
import { readLockRecord } from "../folder/lock-file.ts";
import { readMarkerRecord } from "../folder/read-marker.ts";

/** The record of a configuration's claim that was not given back; null: there is none, or none that can be read. */
export async function unreleasedRecord(layout: Layout, configuration: Configuration): Promise<OwnerRecord | null> {
  const found =
    layout.store === null ? recordOnDisk(layout, configuration) : await recordInStore(layout, configuration);
  return found === null || isReleased(found) || belongsToAnother(found, configuration) ? null : found;
}

function recordOnDisk(layout: Layout, configuration: Configuration): OwnerRecord | null {
  // Contenders of other tools empty the lock file; the record beside the marker has the same to say.
  return (
    recordIn(readLockRecord(layout.kernelLockPath(configuration))) ??
    recordIn(readMarkerRecord(layout.weightsDir(configuration)).reading)
  );
}

async function recordInStore(layout: Layout, configuration: Configuration): Promise<OwnerRecord | null> {
  if (layout.store === null) return null;
  const { recordInRemote } = await import("../lease/remote-store.ts");
  return recordInRemote(layout, layout.store, configuration);
}

/** Whether the claim of a record is lost or over, as far as anything shows. */
export async function isOver(layout: Layout, configuration: Configuration, record: OwnerRecord): Promise<boolean> {
  // A store's record is there under a lease alone, which was asked a moment ago.
  if (layout.store !== null || record.trainlock?.generation === null) return false;
  return (await statusAround(layout, configuration, record)).held === false;
}

/** Whether the claim of a record is held at this moment, by whatever keeps it. */
export async function statusAround(
  layout: Layout,
  configuration: Configuration,
  { trainlock }: OwnerRecord,
): Promise<ClaimStatus> {
  const { token, generation } = trainlock ?? { token: null, generation: 0 };
  if (layout.store !== null) {
    const { statusOfToken } = await import("../lease/remote-store.ts");
    return statusOfToken(layout, layout.store, configuration, token);
  }
  if (generation === null) return { held: null, generation, why: "its generation cannot be read", holder: null };
  const lockPath = layout.kernelLockPath(configuration);
  const weightsDir = layout.weightsDir(configuration);
  return claimStatusOf({ lockPath, weightsDir, token, generation, configuration: null });
}

/** Whether the wrapper of a record is above a process: the same wrapper, and no later process with its PID. */
export function isAncestor({ pid, trainlock }: OwnerRecord, of = process.pid): boolean {
  const { bootId, pidNamespace } = thisHost();
  if (pid === null || trainlock === null || trainlock.bootId === null || trainlock.startTimeTicks === null)
    return false;
  if (trainlock.bootId !== bootId || trainlock.pidNamespace !== pidNamespace) return false;
  if (pid === of || !ancestorsOf(of).has(pid)) return false;
  return readTreeProcess(pid)?.startTimeTicks === trainlock.startTimeTicks;
}

/** Whether a process was handed the descriptor under which the kernel lock is held. */
export function holdsItsLock(layout: Layout, configuration: Configuration, pid = process.pid): boolean {
  const path = layout.kernelLockPath(configuration);
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stats !== undefined && holdsFlock(pid, { path, dev: stats.dev, ino: stats.ino });
}

/** Whether this process runs where a claim was made: in the same run of the same job; without a job, on the same boot. */
export function isWhereItWasMade({ trainlock }: OwnerRecord): boolean {
  const ours = schedulerJob(process.env);
  const theirs = trainlock?.scheduler ?? null;
  if (ours !== null && theirs !== null) return isSameRun(ours, theirs);
  return ours === null && theirs === null && trainlock?.bootId != null && trainlock.bootId === thisHost().bootId;
}
