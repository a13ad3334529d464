import { basename, dirname } from "node:path";
import type { Configuration } from "../../model/configuration.ts";
import { type Evidence, isAboutWrites, type Verdict } from "../../model/evidence.ts";
import type { Examine, Examined } from "../../model/examine.ts";
import type { KernelLockState, MarkerFacts } from "../../model/lock-facts.ts";
import { configurationOf, type OwnerRecord, type RecordReading, recordIn } from "../../model/owner-record.ts";
import { type Layout, markerPath } from "../../site/layout.ts";
import { livingInPlaceOf } from "../../system/processes/living-process.ts";
import { type RemovedLock, removedLocksIn } from "../../system/processes/removed-locks.ts";
import { isEarlierRun, schedulerJob } from "../../system/processes/scheduler-job.ts";
import { isSignedOff, refuseCollision } from "../claim-record.ts";
import { holderFrom, nobodyKnown } from "../record-holder.ts";
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
  const removed = isOfOldWriters(previous) ? removedLocksIn(dirname(kernel.path), basename(kernel.path))[0] : undefined;
  if (removed !== undefined) return busyRemovedLock(removed);
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
  const holder = holderFrom(record, null, evidence) ?? nobodyKnown;
  return { holder, verdict, evidence, path: kernel.path, ...patience(record, verdict, layout) };
}

/** Old tools remove lock files, even held ones; a claim of trainlock has looked, and left its record. */
function isOfOldWriters(previous: RecordReading): boolean {
  return previous.kind !== "record" || previous.record.trainlock === null;
}

/** Its file has lost its name, and is locked: the one that we have is another. */
function busyRemovedLock({ path, pid }: RemovedLock): Busy {
  const detail = `the kernel lock is held by process ${pid}, whose lock file was removed`;
  const evidence: Evidence[] = [{ source: "kernel-lock", says: "alive", detail }];
  const holder = holderFrom(null, pid, evidence) ?? nobodyKnown;
  return { holder, verdict: { status: "active", label: "ACTIVE" }, evidence, path };
}

/** Whose marker is wanted, and by what means. */
export interface MarkerContext {
  /** Held, or the stand-in for none. */
  readonly kernel: KernelLock;
  readonly layout: Layout;
  readonly configuration: Configuration;
  readonly weightsDir: string;
  /** The same, held open: a path through its descriptor, below which nothing is swapped for a link. */
  readonly folder: string;
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
  { kernel, layout, configuration, weightsDir, folder, examine, acquireLock }: MarkerContext,
  marker: MarkerFacts,
): Promise<MarkerOwner> {
  const { record, beside, problem, otherTime } = recordOfMarker(folder, marker, () => kernel.records());
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
    otherTime,
    marker,
    pid: record?.pid ?? marker.pid,
    startedAt: record?.acquiredAt ?? null,
  });
  const found = busyMarker(weightsDir, marker, record, examined);
  const busy = examined.verdict.status === "stale" ? null : { ...found, ...patience(record, examined.verdict, layout) };
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

/** A folder is left alone for two minutes after it was written; a look more than that settles it. */
const quietPatienceMs = 135_000;

/**
 * A requeued job that cannot learn what has become of its own last run waits for an answer: it would not be started again, and
 * the host may come back. Nor is a run turned away by files that were written a moment ago: it sees whether that goes on.
 */
function patience(record: OwnerRecord | null, verdict: Verdict, { site }: Layout): Pick<Busy, "patienceMs"> {
  const ours = schedulerJob(process.env);
  const isOwn = ours !== null && isEarlierRun(record?.trainlock?.scheduler ?? null, ours);
  if (verdict.status !== "unknown") return {};
  if (isOwn) return { patienceMs: site.requeueWaitMs };
  return isAboutWrites(verdict.because) ? { patienceMs: quietPatienceMs } : {};
}
