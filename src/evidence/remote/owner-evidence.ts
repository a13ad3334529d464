import type { Evidence } from "../../model/evidence.ts";
import { sameHost } from "../../model/host-name.ts";
import type { Users } from "../../system/processes/users.ts";
import { jobEvidence } from "../schedulers/job-evidence.ts";
import type { ListedJob, SchedulerAnswer } from "../schedulers/listed-job.ts";
import type { AskHosts } from "./ask-hosts.ts";
import type { SchedulerAnswers } from "./ask-schedulers.ts";
import { type AskedHost, bareOnHosts } from "./bare-on-hosts.ts";
import type { BareOwner, Owner } from "./owner.ts";
import { recordedOnHost } from "./recorded-on-host.ts";

/** Hosts' clocks differ, and a host is given up some time after it was last heard of. */
const clockSlackSeconds = 120;

export interface Witnesses {
  readonly jobs: SchedulerAnswers;
  readonly users: Users;
  readonly ask: AskHosts;
  /** Where a bare PID may be, by the caller's word. */
  readonly hosts: readonly string[];
}

/** All that others say of one owner. */
export async function ownerEvidence({ process, job }: Owner, witnesses: Witnesses): Promise<Evidence[]> {
  const evidence: Evidence[] = [];
  if (job !== null) {
    const asked = witnesses.jobs.of(job.kind);
    if (asked?.answer.kind === "jobs") evidence.push(...jobEvidence(asked.probe, job, asked.answer.jobs));
    else if (asked?.answer.kind === "no answer") {
      const detail = `${asked.probe.title} gives no evidence on job ${job.id}: ${asked.answer.why}`;
      evidence.push({ source: asked.probe.kind, says: "unknown", because: "remote process", detail });
    }
  }
  if (process?.kind === "recorded") evidence.push(recordedOnHost(process, await witnesses.ask(process.host)));
  if (process?.kind === "bare") evidence.push(...(await bareEvidence(process, witnesses)));
  return evidence;
}

async function bareEvidence(process: BareOwner, { jobs, users, ask, hosts }: Witnesses): Promise<Evidence[]> {
  const uid = process.uid ?? (process.user === null ? null : users.uidOf(process.user));
  const owner = { ...process, uid };
  if (owner.host !== null) {
    return bareOnHosts(owner, [{ host: owner.host, reply: await ask(owner.host), jobId: null }]);
  }
  const installed = jobs.of(null);
  const listed = installed?.answer.kind === "jobs" ? installed.answer.jobs : [];
  const user = uid === null ? null : users.nameOf(uid);
  const running = listed.filter((job) => isTheirs(job, uid, user) && job.means !== "ended" && !job.waits);
  const lost = installed?.answer.kind === "jobs" ? (installed.answer.lostHosts ?? []) : [];
  const lostSince = lost.filter(({ since }) => since === null || since > process.since - clockSlackSeconds);
  const likely = new Set([...running.flatMap((job) => job.hosts), ...hosts]);
  const named = new Set([...likely, ...lostSince.map(({ host }) => host)]);
  const nobody = (detail: string): Evidence[] => [
    { source: installed?.probe.kind ?? "ssh", says: "unknown", because: "remote process", detail },
  ];
  // The scheduler's silence leaves hosts out: what is found on the others counts, that nothing is found does not.
  const silence = installed === null ? null : silenceOf(installed.answer);
  const nobodyToAsk = () => {
    if (silence !== null) return nobody(`${installed?.probe.title} gives no evidence: ${silence}`);
    if (installed === null) return nobody("nobody to ask: no scheduler here, and no --hosts");
    return nobody(`nobody to ask: ${installed.probe.title} knows no running job of ${user ?? `uid ${uid}`}`);
  };
  if (named.size === 0) return nobodyToAsk();
  const asked = await Promise.all(
    [...named].map(async (host): Promise<AskedHost> => ({ host, reply: await ask(host), jobId: jobOn(host, running) })),
  );
  const evidence = bareOnHosts(owner, asked);
  const incomplete = likely.size === 0 || (silence !== null && hosts.length === 0);
  return incomplete && evidence.every(({ says }) => says === "dead") ? nobodyToAsk() : evidence;
}

/** Why a scheduler's answer leaves out hosts that may have the process; null: it names them all. */
function silenceOf(answer: SchedulerAnswer): string | null {
  if (answer.kind === "no answer") return answer.why;
  return answer.lostHosts === null ? "it does not say which hosts it has lost" : null;
}

function isTheirs(job: ListedJob, uid: number | null, user: string | null): boolean {
  return job.uid !== null ? job.uid === uid : job.user !== null && job.user === user;
}

/** The job behind a host, where it is only one. */
function jobOn(host: string, running: readonly ListedJob[]): string | null {
  const there = new Set(running.filter((job) => job.hosts.some((name) => sameHost(name, host))).map(({ id }) => id));
  return there.size === 1 ? ([...there][0] ?? null) : null;
}
