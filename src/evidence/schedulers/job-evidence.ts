import type { Evidence } from "../../model/evidence.ts";
import { sameHost } from "../../model/host-name.ts";
import { mayBeEqual } from "../../system/processes/scheduler-job.ts";
import type { ListedJob, SchedulerProbe } from "./listed-job.ts";

/** The job that a record names, and what tells it from others of the same id. */
export interface RecordedJob {
  readonly id: string;
  readonly arrayIndex: string | null;
  readonly restartCount: number | null;
  readonly cluster: string | null;
  /** When its run began, seconds since the epoch; null: the record does not say. */
  readonly startedAt: number | null;
  /** The claim is that of a step with one host. */
  readonly isOfOneHost: boolean;
  /** Who took the lock, and on which host; null: the record does not say. */
  readonly user: string | null;
  readonly host: string | null;
  /** When the lock was taken, seconds since the epoch. */
  readonly lockedAt: number | null;
}

/** LSF tells times to the minute, and hosts' clocks differ. */
const slackSeconds = 120;

/**
 * What a scheduler's list says of the job that took a lock. Pure. A job it does not list is no evidence, nor is one that was
 * started after the lock was taken: its id is in use again, or its run is a later one.
 */
export function jobEvidence(probe: SchedulerProbe, job: RecordedJob, listed: readonly ListedJob[]): Evidence[] {
  const of = (detail: string): Evidence => ({ source: probe.kind, says: "unknown", because: "remote process", detail });
  const named = listed.filter((candidate) => isNamed(candidate, job));
  const there = job.cluster === null ? job.id : `${job.id} of cluster ${job.cluster}`;
  if (named.length === 0) return [of(`${probe.title} does not know job ${there}`)];
  const same = named.filter((candidate) => isSameRun(candidate, job) && mayHaveRun(candidate));
  const what = (found: ListedJob) => `${probe.title}: job ${found.id} is ${found.state}${onHosts(found)}`;
  const waiting = same.find(({ waits }) => waits);
  if (waiting !== undefined) {
    const detail = `${what(waiting)}: it waits to run again, and will want its lock back`;
    return [{ source: probe.kind, says: "unknown", because: "job requeued", detail }];
  }
  const living = same.find(({ means }) => means === "alive");
  if (living !== undefined) return [{ source: probe.kind, says: "alive", detail: what(living) }];
  const unclear = same.find(({ means }) => means === "unclear");
  if (unclear !== undefined) return [of(`${what(unclear)}, which is no proof of an end`)];
  const over = same.find(({ means }) => means === "ended");
  if (over === undefined) return [of(`${probe.title}: job ${job.id} is another run or job since the lock was taken`)];
  if (job.lockedAt !== null && over.endedAt !== null && over.endedAt + slackSeconds < job.lockedAt) {
    return [of(`${what(over)}, but had ended before the lock was taken`)];
  }
  return [{ source: probe.kind, says: "dead", because: "job ended", detail: what(over) }];
}

function isNamed(listed: ListedJob, job: RecordedJob): boolean {
  if (!mayBeEqual(listed.cluster ?? null, job.cluster)) return false;
  if (listed.arrayIndex !== null && job.arrayIndex !== null && listed.arrayIndex !== job.arrayIndex) return false;
  // PBS: `123.server` and `123[4].server`, of which records may have the number alone.
  const number = (id: string) => id.split(".")[0]?.replace(/\[\d*\]$/, "");
  if (listed.id === job.id) return true;
  const shortened =
    !listed.id.includes(".") || !job.id.includes(".") || listed.id.split(".")[1] === job.id.split(".")[1];
  return shortened && number(listed.id) === number(job.id);
}

function isSameRun(listed: ListedJob, job: RecordedJob): boolean {
  const { lockedAt, restartCount, host } = job;
  if (listed.user !== null && job.user !== null && listed.user !== job.user) return false;
  // The job waits to run again. It held the lock, and will need it again. A requeue may count as a new submission, but
  // the runs are counted on.
  if (listed.waits && listed.restartCount !== null && restartCount !== null) return listed.restartCount >= restartCount;
  if (listed.waits)
    return lockedAt === null || listed.submittedAt === null || listed.submittedAt <= lockedAt + slackSeconds;
  if (listed.restartCount !== null && restartCount !== null && listed.restartCount !== restartCount) return false;
  if (host !== null && listed.hosts.length > 0 && !listed.hosts.some((name) => sameHost(name, host))) return false;
  if (listed.startedAt === null) return true;
  if (job.startedAt !== null && Math.abs(listed.startedAt - job.startedAt) > slackSeconds) return false;
  return lockedAt === null || listed.startedAt <= lockedAt + slackSeconds;
}

/** What has ended without a start or a host never ran, and took no lock: its id is another job's, too. */
function mayHaveRun({ means, startedAt, hosts }: ListedJob): boolean {
  return means !== "ended" || startedAt !== null || hosts.length > 0;
}

function onHosts({ hosts }: ListedJob): string {
  if (hosts.length === 0) return "";
  return hosts.length === 1 ? ` on ${hosts[0]}` : ` on ${hosts[0]} and ${hosts.length - 1} more`;
}
