import type { Evidence } from "../../model/evidence.ts";
import { type HostName, sameHost } from "../../model/host-name.ts";
import type { SchedulerJob } from "../../model/owner-record.ts";
import type { Users } from "../../system/processes/users.ts";
import { clockMarginSeconds } from "../record-time.ts";
import { jobEvidence } from "../schedulers/job-evidence.ts";
import type { ListedJob } from "../schedulers/listed-job.ts";
import type { AskHosts } from "./ask-hosts.ts";
import type { Asked, SchedulerAnswers } from "./ask-schedulers.ts";
import { type AskedHost, bareOnHosts } from "./bare-on-hosts.ts";
import type { BareOwner, Owner } from "./owner.ts";
import { recordedOnHost, tasksOnHost } from "./recorded-on-host.ts";
import { requeuedFrom, withoutIdleJob } from "./weigh.ts";

export interface Witnesses {
  readonly jobs: SchedulerAnswers;
  readonly users: Users;
  readonly ask: AskHosts;
  /** Where a bare PID may be, by the caller's word. */
  readonly hosts: readonly HostName[];
  /** The job that asks; null: it is in none. */
  readonly ours: SchedulerJob | null;
  /** Who asks: schedulers may show them their own jobs only. */
  readonly asker: { readonly uid: number; readonly user: string };
}

/** All that others say of one owner. */
export async function ownerEvidence({ process, job }: Owner, witnesses: Witnesses): Promise<Evidence[]> {
  const asked = job === null ? null : witnesses.jobs.of(job.kind);
  const ofJob = job === null || asked === null ? [] : evidenceOf(job, asked);
  if (process?.kind === "bare") return [...ofJob, ...(await bareEvidence(process, witnesses))];
  if (process === null) return [...ofJob];
  const reply = await witnesses.ask(process.host);
  const ofHost = recordedOnHost(process, reply);
  const hasEnded = ofJob.some(({ says }) => says === "dead");
  const tasks = await Promise.all(
    process.otherHosts.map(async (host) => ({ host, found: tasksOnHost(process, host, await witnesses.ask(host)) })),
  );
  const clear = tasks.filter(({ found }) => found.says === "unknown" && found.because === "remote process");
  // Schedulers end the tasks of a job that is over.
  const elsewhere = tasks.map(({ found }) => found).filter(({ says }) => says === "alive" || !hasEnded);
  if (job === null || asked?.answer.kind !== "jobs") return [...ofJob, ofHost, ...elsewhere];
  const requeued = reply.kind === "silent" ? requeuedFrom(process, job, witnesses.ours, asked.answer) : null;
  const hosts = clear.map(({ host }) => host);
  const weighed = withoutIdleJob(job, asked.answer, ofJob, ofHost, hosts);
  return [...weighed, ofHost, ...elsewhere, ...(requeued === null ? [] : [requeued])];
}

function evidenceOf(job: NonNullable<Owner["job"]>, { probe, answer }: Asked): readonly Evidence[] {
  if (answer.kind === "jobs") return jobEvidence(probe, job, answer.jobs);
  const detail = `${probe.title} gives no evidence on job ${job.id}: ${answer.why}`;
  return [{ source: probe.kind, says: "unknown", because: "remote process", detail }];
}

async function bareEvidence(process: BareOwner, witnesses: Witnesses): Promise<Evidence[]> {
  const { jobs, users, ask, hosts } = witnesses;
  const uid = process.uid ?? (process.user === null ? null : users.uidOf(process.user));
  const owner = { ...process, uid };
  if (owner.host !== null) {
    return bareOnHosts(owner, [{ host: owner.host, reply: await ask(owner.host), jobId: null }]);
  }
  const installed = jobs.of(null);
  const listed = installed?.answer.kind === "jobs" ? installed.answer.jobs : [];
  const user = uid === null ? null : users.nameOf(uid);
  const theirs = listed.filter(
    (job) => isTheirs(job, uid, user) && !job.waits && mayHaveBegunBy(job, process.changedAt),
  );
  const lost = installed?.answer.kind === "jobs" ? (installed.answer.lostHosts ?? []) : [];
  const lostSince = lost.filter(({ since }) => since === null || since > process.since - clockMarginSeconds);
  const likely = new Set([...theirs.flatMap((job) => job.hosts), ...hosts]);
  const named = new Set([...likely, ...lostSince.map(({ host }) => host)]);
  const incomplete =
    whyIncomplete(likely, installed, uid, user, witnesses.asker) ??
    whyElsewhere(listed.filter((job) => isTheirs(job, uid, user) && (job.waits || beganAfter(job, process.changedAt))));
  const nobody = (detail: string): Evidence[] => [
    { source: installed?.probe.kind ?? "ssh", says: "unknown", because: "remote process", detail },
  ];
  if (named.size === 0) return nobody(incomplete ?? "nobody to ask");
  const asked = await Promise.all(
    [...named].map(async (host): Promise<AskedHost> => ({ host, reply: await ask(host), jobId: jobOn(host, theirs) })),
  );
  const evidence = bareOnHosts(owner, asked);
  // What is found on those that were asked counts; that nothing is found does not, where hosts may have been left out.
  return incomplete !== null && evidence.every(({ says }) => says === "dead") ? nobody(incomplete) : evidence;
}

/** Why hosts on which that user could run may be missing from the likely ones; null: they are all among them. */
function whyIncomplete(
  likely: ReadonlySet<HostName>,
  installed: Asked | null,
  uid: number | null,
  user: string | null,
  asker: Witnesses["asker"],
): string | null {
  if (installed === null) return likely.size === 0 ? "nobody to ask: no scheduler here, and no --hosts" : null;
  const { probe, answer } = installed;
  if (answer.kind === "no answer") return `${probe.title} gives no evidence: ${answer.why}`;
  if (answer.lostHosts === null) return `${probe.title} gives no evidence: it does not say which hosts it has lost`;
  if (uid === null) return `${probe.title} gives no evidence: whose the marker is cannot be seen there`;
  const whose = user ?? `uid ${uid}`;
  // Jobs of any user may start containers, in which others have root's id or one without a name here.
  if ((uid === 0 || user === null) && !answer.jobs.some((job) => isTheirs(job, uid, user)))
    return `${probe.title} knows no job of ${whose}, which a container in another's job may have`;
  // Where other users' jobs are private, none of them is listed, and that says nothing.
  const isAnothers = (job: ListedJob) =>
    job.uid === null ? job.user !== null && job.user !== asker.user : job.uid !== asker.uid;
  const isShown =
    asker.uid === 0 ||
    asker.uid === uid ||
    answer.hidesOthers === false ||
    answer.jobs.some((job) => isTheirs(job, uid, user)) ||
    (answer.hidesOthers !== true && answer.jobs.some(isAnothers));
  if (!isShown) return `${probe.title} is not certain to show us the jobs of ${whose}`;
  return likely.size === 0 ? `nobody to ask: ${probe.title} knows no job of ${whose} that had begun by then` : null;
}

/**
 * A requeued job had begun before, and the scheduler's list shows no more where. Its first host may be cut off and still
 * train.
 */
function whyElsewhere(begunSince: readonly ListedJob[]): string | null {
  const again = begunSince.find(({ restartCount }) => (restartCount ?? 0) > 0);
  return again === undefined ? null : `job ${again.id} was requeued, and nobody says where it ran before`;
}

/** Ended ones, too: their processes may have got away, and their hosts can be asked like any. */
function mayHaveBegunBy({ startedAt }: ListedJob, since: number): boolean {
  return startedAt === null || startedAt <= since + clockMarginSeconds;
}

function beganAfter({ startedAt }: ListedJob, since: number): boolean {
  return startedAt !== null && startedAt > since;
}

function isTheirs(job: ListedJob, uid: number | null, user: string | null): boolean {
  return job.uid !== null ? job.uid === uid : job.user !== null && job.user === user;
}

/** The job behind a host, where it is only one. */
function jobOn(host: string, running: readonly ListedJob[]): string | null {
  const there = new Set(running.filter((job) => job.hosts.some((name) => sameHost(name, host))).map(({ id }) => id));
  return there.size === 1 ? ([...there][0] ?? null) : null;
}
