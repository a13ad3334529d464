import { basename, dirname } from "node:path";
import type { Evidence } from "../../model/evidence.ts";
import type { LivingProcess } from "../../model/holder.ts";
import { type HostName, sameHost } from "../../model/host-name.ts";
import { ticksPerSecond } from "../../system/processes/proc-files.ts";
import { isOurFile, namesFolder, realFolderOf } from "../open-files.ts";
import { clockMarginSeconds } from "../record-time.ts";
import type { HostReply } from "./ask-host.ts";
import { type HostAnswer, type HostProcess, livingOn } from "./host-answer.ts";
import type { BareOwner } from "./owner.ts";

const doubt = (detail: string): Evidence => ({ source: "ssh", says: "unknown", because: "remote process", detail });

/** Processes that are younger than the lock by no more than this have written it, as far as clocks can tell. */
const clockSlackSeconds = 2;
/** The owner that NFS and user namespaces show for users they cannot name. */
const nobody = 65_534;

/** The first process of a PID namespace: every container has one, and on a host it takes no locks. */
const initPid = 1;

type Answered = Extract<HostReply, { kind: "answer" }>;

interface Found {
  readonly kind: "writer" | "other" | "doubt";
  readonly why: string;
  readonly living?: LivingProcess;
}

/** The hosts that may know a bare PID, each with its reply and the job that led there. */
export interface AskedHost {
  readonly host: HostName;
  readonly reply: HostReply;
  readonly jobId: string | null;
}

/** What the hosts say of a PID without a start time: found on one → alive; asked all and on none → dead. Pure. */
export function bareOnHosts(owner: BareOwner, asked: readonly AskedHost[]): Evidence[] {
  if (asked.length === 0) return [];
  const findings = asked.map((one) => ({ ...one, found: findOn(owner, one) }));
  const writer = findings.find(({ found }) => found.kind === "writer");
  if (writer !== undefined) {
    const job = writer.jobId === null ? "" : ` (job ${writer.jobId})`;
    const where = { host: writer.host, jobId: writer.jobId };
    const { living, why } = writer.found;
    // A number is nobody's alone on a cluster; a process that writes beside the marker is.
    const doubtful = owner.host === null && living === undefined ? "; the number may be another's" : "";
    return [{ source: "ssh", says: "alive", detail: `${why}${job}${doubtful}`, where, ...(living && { living }) }];
  }
  const doubts = findings.filter(({ found }) => found.kind === "doubt");
  if (doubts.length > 0) return doubts.map(({ found }) => doubt(found.why));
  const hosts = asked.map(({ host }) => host).join(", ");
  if (owner.pid === null) {
    const detail = `it is empty, and nobody has it open on the hosts that could: ${hosts}`;
    return [{ source: "ssh", says: "dead", because: "no PID", detail }];
  }
  const detail = `process ${owner.pid} runs on none of the hosts that could have it: ${hosts}`;
  return [{ source: "ssh", says: "dead", because: "PID not running", detail }];
}

function findOn(owner: BareOwner, { host, reply }: AskedHost): Found {
  if (reply.kind === "silent") return { kind: "doubt", why: `${host} ${reply.why}` };
  const { answer } = reply;
  const { pid } = owner;
  const byWord = pid === null ? emptyOn(owner, host, answer) : numberOn(owner, pid, host, reply);
  return byWord.kind === "writer" ? byWord : (trainingOn(owner, host, answer) ?? byWord);
}

/** A script may be gone while its training lives: a process of the marker's owner that writes beside the marker is alive. */
function trainingOn({ marker, uid }: BareOwner, host: string, answer: HostAnswer): Found | null {
  const folder = marker === null ? null : `${realFolderOf(marker)}/`;
  for (const { pid, writes, path } of answer.opened ?? []) {
    const found = answer.processes.get(pid);
    if (folder === null || !path.startsWith(folder) || !writes || isOurFile(path)) continue;
    if (found === undefined || found.zombie || found.ageTicks <= 0 || answer.own.has(pid)) continue;
    if (uid !== null && found.uid !== uid) continue;
    const living = livingOn(host, pid, answer);
    const detail = `process ${pid} on ${host} has ${basename(path)} open for writing: ${living.command.join(" ")}`;
    return { kind: "writer", why: detail, living };
  }
  return null;
}

/** Who stands between creating a marker and writing its PID has it open. Other users' files are closed to all but root. */
function emptyOn({ marker, uid }: BareOwner, host: string, answer: HostAnswer): Found {
  if (marker === null) return { kind: "doubt", why: `${host} was not asked` };
  const path = `${realFolderOf(marker)}/${basename(marker)}`;
  if (answer.opened === null) return { kind: "doubt", why: `${host} has no ls or grep to look for who has it open` };
  const opener = answer.opened.find((file) => file.path === path && file.writes);
  if (opener !== undefined) return { kind: "doubt", why: `process ${opener.pid} on ${host} has it open` };
  if (answer.uid !== 0 && (answer.uid !== uid || !answer.seesAll))
    return { kind: "doubt", why: `${host} does not show us what its owner's processes have open` };
  return { kind: "other", why: `nobody on ${host} has it open` };
}

function numberOn(owner: BareOwner, pid: number, host: string, reply: Answered): Found {
  const { answer } = reply;
  // A number inside a container comes first: outside of it, the same number is another process.
  let doubt: Found | null = null;
  for (const outer of answer.nested.get(pid) ?? []) {
    const inner = answer.processes.get(outer);
    if (inner === undefined || inner.zombie) continue;
    const who = `process ${outer} on ${host} is ${pid} inside a container there`;
    const { kind, why } = match(owner, outer, inner, host, reply);
    if (kind === "writer") return { kind, why: who };
    if (kind === "doubt") doubt = { kind, why: `${who}; ${why}` };
  }
  if (pid === initPid) return { kind: "doubt", why: `PID 1 is the first process of any container, on ${host} too` };
  const found = answer.processes.get(pid);
  if (found === undefined || found.zombie) return doubt ?? absentFrom(owner, pid, host, answer);
  const outside = match(owner, pid, found, host, reply);
  return outside.kind === "other" ? (doubt ?? outside) : outside;
}

/** Whether a process of a host can have taken the lock: by its user, and by its age. */
function match(
  { uid, since, changedAt, marker }: BareOwner,
  pid: number,
  found: HostProcess,
  host: string,
  reply: Answered,
): Found {
  if (isOfQuestion(pid, found, reply))
    return { kind: "other", why: `process ${pid} on ${host} is part of this check itself` };
  if (uid === null || uid === nobody) return { kind: "doubt", why: `${host} has a process ${pid}, of an unknown user` };
  const age = found.ageTicks / ticksPerSecond;
  // A write gives a file both times at once: any difference is a change by somebody.
  const isTouched = changedAt > since && reply.askedAt / 1000 - changedAt <= age + clockMarginSeconds;
  if (isTouched && (found.uid !== uid || reply.askedAt / 1000 - since > age + clockSlackSeconds)) {
    const why = `process ${pid} on ${host} is older than the last change of the marker's owner, mode or times`;
    return { kind: "doubt", why };
  }
  // By our clock at the question, so that a slow answer makes nobody look younger.
  const lockAge = reply.askedAt / 1000 - since;
  const youngerBy = lockAge - age;
  if (found.uid !== uid) {
    const why = `process ${pid} on ${host} is of uid ${found.uid}`;
    // A script that root has started may have given up root's rights since.
    if (youngerBy > clockSlackSeconds || !worksIn(marker, pid, reply.answer)) return { kind: "other", why };
    return { kind: "writer", why: `${why}, and works in that folder` };
  }
  if (youngerBy <= clockSlackSeconds) return { kind: "writer", why: `process ${pid} runs on ${host}` };
  if (youngerBy <= clockMarginSeconds)
    return {
      kind: "doubt",
      why: `process ${pid} on ${host} looks younger than the lock, but the clocks of hosts and file server may differ`,
    };
  const moved = reply.answer.clockMovedSeconds;
  if (moved === null || youngerBy <= moved + clockMarginSeconds) {
    const set = moved === null ? "may have been set" : "was set";
    const why = `process ${pid} on ${host} looks younger than the lock, but the clock there ${set} since boot`;
    return { kind: "doubt", why };
  }
  return { kind: "other", why: `process ${pid} on ${host} was started after the lock was taken` };
}

/** Whether a process has a file in the marker's folder open, or was told of the folder. */
function worksIn(marker: string | null, pid: number, { commands, opened }: HostAnswer): boolean {
  if (marker === null) return false;
  const folder = realFolderOf(marker);
  const isThere = (path: string) => path.startsWith(`${folder}/`) && !isOurFile(path);
  if ((opened ?? []).some((file) => file.pid === pid && isThere(file.path))) return true;
  return namesFolder(commands.get(pid) ?? [], [dirname(marker), folder]);
}

/**
 * The shell that asks on that host, or a process that was started for it (the session of ssh), may have got the very PID that
 * is looked for. These processes are no older than the question. An older ancestor is somebody else's.
 */
function isOfQuestion(pid: number, { ageTicks }: HostProcess, { answer, tookMs }: Answered): boolean {
  if (ageTicks <= 0) return true;
  return answer.own.has(pid) && (ageTicks / ticksPerSecond) * 1000 <= tookMs;
}

function absentFrom({ host: named, uid }: BareOwner, pid: number, host: string, answer: HostAnswer): Found {
  // Hidden ones are other users': who asks there as the owner may signal the owner's, kill(2).
  const isOwners = answer.uid !== 0 && answer.uid === uid && !answer.takingSignals.has(pid);
  if ((answer.hidden.has(pid) || !answer.seesAll) && !isOwners) {
    return { kind: "doubt", why: `${host} does not show process ${pid}, if there is one` };
  }
  if (answer.nested.has(pid)) return { kind: "doubt", why: `a container on ${host} has a process ${pid}` };
  // The name came from the lock: another machine that answers to it proves nothing.
  if (named !== null && (answer.hostname === null || !sameHost(answer.hostname, named))) {
    return { kind: "doubt", why: `the host that answers as ${host} has another name` };
  }
  return { kind: "other", why: `no process ${pid} on ${host}` };
}
