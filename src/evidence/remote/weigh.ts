import type { Evidence } from "../../model/evidence.ts";
import { sameHost } from "../../model/host-name.ts";
import type { SchedulerJob } from "../../model/owner-record.ts";
import { isEarlierRun } from "../../system/processes/scheduler-job.ts";
import { newestWrite } from "../last-write.ts";
import type { RecordedJob } from "../schedulers/job-evidence.ts";
import type { SchedulerAnswer } from "../schedulers/listed-job.ts";
import type { RecordedOwner } from "./owner.ts";

/** Hosts' clocks differ, and nodes report their boot to the second. */
const clockSlackSeconds = 120;
/** A training that has not written for so long may be one that is gone. */
const quietMs = 120_000;

type JobList = Extract<SchedulerAnswer, { kind: "jobs" }>;

/**
 * A job runs on though its training is dead: its script has gone on to another. Where its only host was asked and has nothing of
 * the training, the job is no sign of life. The same holds where the claim is that of a job step on one host. Pure.
 */
export function withoutIdleJob(
  job: RecordedJob,
  answer: JobList,
  ofJob: readonly Evidence[],
  ofHost: Evidence,
  /** The other hosts of the job that were asked, and have nothing of it either. */
  clear: readonly string[] = [],
): readonly Evidence[] {
  const hosts = new Set(answer.jobs.filter(({ id }) => id === job.id).flatMap((listed) => listed.hosts));
  const asked = [...(job.host === null ? [] : [job.host]), ...clear];
  const isEach = hosts.size > 0 && [...hosts].every((name) => asked.some((host) => sameHost(host, name)));
  if (ofHost.says !== "dead" || !(isEach || job.isOfOneHost)) return ofJob;
  return ofJob.map((found) => {
    if (found.says !== "alive") return found;
    const which =
      hosts.size > 1 && isEach ? "none of its hosts" : isEach ? "its only host" : "the only host of its step";
    const has = hosts.size > 1 && isEach ? "has anything" : "has nothing";
    const detail = `${found.detail}, but ${which} ${has} of this training`;
    return { source: found.source, says: "unknown", because: "remote process", detail };
  });
}

/**
 * What a requeued job may conclude about its own last run if the host of that run does not answer. The run is over if two
 * things are true: the scheduler has given the node up or has seen it boot since, and nothing was written for two minutes.
 * Null: it may conclude nothing.
 */
export function requeuedFrom(
  { host, section, weightsDir }: RecordedOwner,
  { lockedAt }: RecordedJob,
  ours: SchedulerJob | null,
  answer: JobList,
  newest: (folder: string) => ReturnType<typeof newestWrite> = newestWrite,
): Evidence | null {
  const theirs = section.scheduler;
  if (ours === null || theirs === null || !isEarlierRun(theirs, ours)) return null;
  const isDown = answer.lostHosts?.some((lost) => sameHost(lost.host, host)) === true;
  const bootedAt = [...(answer.boots ?? [])].find(([name]) => sameHost(name, host))?.[1] ?? null;
  const hasBooted = bootedAt !== null && lockedAt !== null && bootedAt > lockedAt + clockSlackSeconds;
  if (!isDown && !hasBooted) return null;
  const what = `left by run ${theirs.restartCount} of this job on ${host}, which ${isDown ? "is down" : "has booted since"}`;
  const written = weightsDir === null ? null : newest(weightsDir);
  if (written !== null && Date.now() - written.modifiedMs < quietMs)
    return {
      source: ours.kind,
      says: "unknown",
      because: "remote process",
      detail: `${what}, but ${written.name} was written a moment ago`,
    };
  return { source: ours.kind, says: "dead", because: "job ended", detail: what };
}
