import type { Evidence } from "../../model/evidence.ts";
import type { Examine, Examined } from "../../model/examine.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import type { OwnerRecord, SchedulerJob } from "../../model/owner-record.ts";
import { schedulerJob } from "../../system/processes/scheduler-job.ts";

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
