import type { Configuration } from "../../model/configuration.ts";
import type { Evidence } from "../../model/evidence.ts";
import type { Examine, Examined } from "../../model/examine.ts";
import type { KernelLockState, LockFacts, MarkerFacts } from "../../model/lock-facts.ts";
import { configurationOf, type OwnerRecord, recordIn, type SchedulerJob } from "../../model/owner-record.ts";
import { type Layout, markerPath } from "../../site/layout.ts";
import { livingInPlaceOf } from "../../system/processes/living-process.ts";
import { schedulerJob } from "../../system/processes/scheduler-job.ts";
import { holderFrom, isSignedOff, nobodyKnown, refuseCollision } from "../claim-record.ts";
import type { Busy } from "../store.ts";
import type { AcquireClaimLock } from "./claim-lock.ts";
import type { KernelLock } from "./kernel-lock.ts";
import { kernelHolder } from "./kernel-lock-probe.ts";
import { interpretFreeLock, isOfAnotherClaim, readLockRecord } from "./lock-file.ts";
import { recordOfMarker } from "./read-marker.ts";

export function busyKernelLock(path: string, weightsDir: string, configuration: Configuration): Busy {
  const { record, pid } = kernelHolder(path, weightsDir);
  if (record !== null) refuseCollision(record, configuration, path);
  const living = record === null ? null : livingInPlaceOf(record, weightsDir, path);
  const detail = "the kernel lock is held";
  const evidence: Evidence[] = [{ source: "kernel-lock", says: "alive", detail, ...(living && { living }) }];
  return {
    holder: holderFrom(record, pid, evidence) ?? nobodyKnown,
    verdict: { status: "active", label: "ACTIVE" },
    evidence,
    path,
  };
}

/**
 * We hold the kernel lock, yet its last owner did not sign off. Where flock reaches everybody that is proof of its death;
 * where it does not (see docs/file-systems.md), the owner may live on another host.
 */
export async function judgeRecord(
  kernel: KernelLock,
  layout: Layout,
  configuration: Configuration,
  examine: Examine,
): Promise<Busy | null> {
  const { previous } = kernel;
  if (previous.kind === "none" || isSignedOff(previous)) return null;
  const record = recordIn(previous);
  const { verdict, evidence } = await examine({
    kind: "fcntl",
    name: layout.displayName(configuration),
    path: kernel.path,
    lockPath: kernel.path,
    weightsDir: layout.weightsDir(configuration),
    kernelLock: interpretFreeLock(record, kernel),
    record,
    recordProblem: previous.kind === "unreadable" ? previous : null,
    marker: null,
    pid: record?.pid ?? null,
    startedAt: record?.acquiredAt ?? null,
  });
  if (verdict.status === "stale") return null;
  // Another configuration's lock of this name keeps this one away for as long as its owner may live.
  if (record !== null) refuseCollision(record, configuration, kernel.path);
  return { holder: holderFrom(record, null, evidence) ?? nobodyKnown, verdict, evidence, path: kernel.path };
}

/** Whose marker is wanted, and by what means. */
export interface MarkerContext {
  /** Held, or the stand-in for none. */
  readonly kernel: KernelLock;
  readonly layout: Layout;
  readonly configuration: Configuration;
  readonly weightsDir: string;
  readonly examine: Examine;
  readonly acquireLock: AcquireClaimLock;
}

export interface MarkerOwner {
  readonly record: OwnerRecord | null;
  readonly examined: Examined;
  /** Null: it is dead. */
  readonly busy: Busy | null;
  /** That of a sibling configuration, to be released. */
  readonly otherLock: KernelLock | null;
  /** The record does not lie beside the marker. */
  readonly onlyElsewhere: boolean;
}

/**
 * Judges the marker that stands in the way. A marker of trainlock may belong to a sibling configuration (another stage
 * with the same weights dir): then that one's kernel lock is what tells, and is held while its marker is changed.
 */
export async function judgeMarker(
  { kernel, layout, configuration, weightsDir, examine, acquireLock }: MarkerContext,
  marker: MarkerFacts,
): Promise<MarkerOwner> {
  const { record, beside, problem } = recordOfMarker(weightsDir, marker, () => kernel.records());
  const owner = record === null ? null : configurationOf(record);
  const ownerPath = owner === null ? kernel.path : layout.kernelLockPath(owner);
  const otherLock = ownerPath === kernel.path ? null : await acquireLock(ownerPath, layout.site.lockPrimitive);
  const held = otherLock === null ? kernel : otherLock;
  const state: KernelLockState =
    held !== "busy"
      ? interpretFreeLock(record, held)
      : { state: isOfAnotherClaim(readLockRecord(ownerPath), record) ? "absent" : "held" };
  const examined = await examine({
    kind: "file",
    name: layout.displayName(configuration),
    path: markerPath(weightsDir),
    lockPath: ownerPath,
    weightsDir,
    kernelLock: state,
    record,
    recordProblem: problem,
    marker,
    pid: record?.pid ?? marker.pid,
    startedAt: record?.acquiredAt ?? null,
  });
  const busy = examined.verdict.status === "stale" ? null : busyMarker(weightsDir, marker, record, examined);
  return { record, examined, busy, otherLock: otherLock === "busy" ? null : otherLock, onlyElsewhere: !beside };
}

export function busyMarker(
  weightsDir: string,
  marker: MarkerFacts | null,
  record: OwnerRecord | null,
  examined: Examined,
): Busy {
  return {
    holder: holderFrom(record, marker?.pid ?? null, examined.evidence) ?? nobodyKnown,
    ...examined,
    path: markerPath(weightsDir),
  };
}

/**
 * Knows a requeued job's own old lock without asking anybody: a scheduler starts a job again only when its last run is over.
 * Where the kernel lock is held, something of that run is left, and is examined as usual.
 */
export function knowingRequeue(examine: Examine, ours: SchedulerJob | null = schedulerJob(process.env)): Examine {
  if (ours === null) return examine;
  return async (facts) => (isLeftByEarlierRun(facts, ours) ? overtaken(facts, ours) : examine(facts));
}

function isLeftByEarlierRun({ record, kernelLock }: LockFacts, ours: SchedulerJob): boolean {
  return kernelLock.state !== "held" && isEarlierRun(record?.trainlock?.scheduler ?? null, ours);
}

/** The same job and array element, started fewer times. The same count is this very run, or a second wrapper within it. */
export function isEarlierRun(theirs: SchedulerJob | null, ours: SchedulerJob): boolean {
  return (
    theirs !== null &&
    theirs.kind === ours.kind &&
    theirs.jobId === ours.jobId &&
    theirs.arrayIndex === ours.arrayIndex &&
    theirs.restartCount < ours.restartCount
  );
}

function overtaken({ record }: { readonly record: OwnerRecord | null }, ours: SchedulerJob): Examined {
  const before = record?.trainlock?.scheduler?.restartCount ?? 0;
  const detail = `left by this job itself before it was requeued (run ${before} of job ${ours.jobId}, now ${ours.restartCount})`;
  const evidence: Evidence = { source: ours.kind, says: "dead", because: "job ended", detail };
  return { verdict: { status: "stale", label: "STALE - job ended", because: "job ended" }, evidence: [evidence] };
}
