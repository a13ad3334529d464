import type { Evidence } from "../../model/evidence.ts";
import { type HostName, sameHost } from "../../model/host-name.ts";
import { isRecordedChild } from "../../model/recorded-child.ts";
import { schedulerJob } from "../../system/processes/scheduler-job.ts";
import { hashedMachineId, initialPidNamespace } from "../../system/processes/this-host.ts";
import { isSameRun } from "../../system/processes/training-processes.ts";
import { isFromBeforeBoot } from "../record-time.ts";
import type { HostReply } from "./ask-host.ts";
import { type HostAnswer, livingOn, type TriedLock } from "./host-answer.ts";
import type { RecordedOwner } from "./owner.ts";

const doubt = (detail: string, because: "remote process" | "other container" = "remote process"): Evidence => ({
  source: "ssh",
  says: "unknown",
  because,
  detail,
});
const dead = (detail: string): Evidence => ({ source: "ssh", says: "dead", because: "PID not running", detail });

/**
 * What its host says of a training that trainlock recorded: of its wrapper, its command, and the rest of its process tree. Pure.
 * Boot id, PID namespace and start time make a number that one process.
 */
export function recordedOnHost(owner: RecordedOwner, reply: HostReply): Evidence {
  const { host, section } = owner;
  if (reply.kind === "silent") return doubt(`${host} ${reply.why}`);
  const { answer } = reply;
  if (answer.bootId !== section.bootId) return bootedSince(owner, answer);
  const lock = triedLock(owner, answer);
  const found = treeOnHost(owner, answer, lock);
  if (found.says === "alive" || !lock?.held) return found;
  return { source: "ssh", says: "alive", detail: `the kernel lock is held on ${host}` };
}

/**
 * What another host of its job says of a training: the tasks that a launcher has started there carry the claim's token. That
 * there are none is no proof of the training's end by itself. Pure.
 */
export function tasksOnHost(owner: RecordedOwner, host: HostName, reply: HostReply): Evidence {
  const notSeen = (why: string): Evidence => ({
    source: "ssh",
    says: "unknown",
    because: "host not reached",
    detail: `${why}, and its job has that host, too`,
  });
  if (reply.kind === "silent") return notSeen(`${host} ${reply.why}`);
  const { answer } = reply;
  const left = runningTree({ ...owner, host, noted: [] }, answer);
  if (left !== null) return left;
  if (answer.carriers === null) return notSeen(`${host} has no grep or tr to look for its tasks`);
  const uid = owner.user === null ? null : (answer.users.get(owner.user) ?? null);
  if (answer.uid !== 0 && answer.uid !== uid) return notSeen(`${host} does not show us the processes of ${owner.user}`);
  return doubt(`no task of it on ${host}`);
}

function treeOnHost(owner: RecordedOwner, answer: HostAnswer, lock: TriedLock | null): Evidence {
  const { host, pid, section } = owner;
  if (section.pidNamespace === null || answer.pidNamespace !== section.pidNamespace) {
    if (isLeft(owner, answer))
      return dead(`nobody is left in its container on ${host}, PID namespace ${section.pidNamespace}`);
    return doubt(`PID ${pid} belongs to another container on ${host}`, "other container");
  }
  const wrapper = answer.processes.get(pid);
  const isWrapper = wrapper !== undefined && !wrapper.zombie && wrapper.startTimeTicks === section.startTimeTicks;
  const left = runningCommand(owner, answer, isWrapper) ?? (isWrapper ? null : runningTree(owner, answer));
  if (left !== null) return left;
  if (isWrapper)
    return { source: "ssh", says: "alive", detail: `process ${pid} runs on ${host} since the recorded start` };
  const closed = unseen(owner, answer, lock);
  if (closed !== null) return doubt(closed);
  if (wrapper === undefined) return dead(`no process ${pid} on ${host}`);
  if (wrapper.zombie) return dead(`process ${pid} on ${host} has ended (zombie)`);
  return dead(`process ${pid} on ${host} is another one, started later`);
}

/**
 * Whether the PID namespace of a training has ended: no process is in it, and none that got out of it carries the claim's
 * token. Only who sees all of them knows, from outside of any container: root, or the training's user.
 */
function isLeft({ section, user }: RecordedOwner, answer: HostAnswer): boolean {
  const { pidNamespace, token } = section;
  const { namespaces, carriers } = answer;
  if (pidNamespace === null || token === null || pidNamespace === initialPidNamespace) return false;
  if (answer.pidNamespace !== initialPidNamespace || !answer.seesAll || namespaces === null || carriers === null)
    return false;
  const isTheirs = answer.uid !== 0 && user !== null && answer.users.get(user) === answer.uid;
  if (namespaces.closedOfOurs > 0 || (namespaces.closedOfOthers > 0 && !isTheirs)) return false;
  const carried = [...carriers.values()].some((variables) => variables.TRAINLOCK_TOKEN === token);
  return !namespaces.inUse.has(pidNamespace) && !carried;
}

/** The very file that the owner locked, as its host sees it; null: nobody could try it. */
function triedLock({ lock }: RecordedOwner, { locks }: HostAnswer): TriedLock | null {
  const tried = lock === null ? undefined : locks.get(lock.path);
  return tried !== undefined && tried.inode === lock?.inode ? tried : null;
}

/** A command outlives a killed wrapper, and trains on. */
function runningCommand({ host, section }: RecordedOwner, answer: HostAnswer, isWrapper: boolean): Evidence | null {
  const { childPid } = section;
  if (childPid !== null && answer.hidden.has(childPid)) return doubt(`${host} does not show process ${childPid}`);
  const child = childPid === null ? undefined : answer.processes.get(childPid);
  if (childPid === null || child === undefined || child.zombie) return null;
  if (!isRecordedChild(section, child.startTimeTicks)) return null;
  const detail = `its command runs on as process ${childPid} on ${host}`;
  return { source: "ssh", says: "alive", detail, ...(isWrapper ? {} : { living: livingOn(host, childPid, answer) }) };
}

/**
 * What is left of the tree: processes that the wrapper noted, and those that carry the claim's token in the same run of its job.
 * Who asks there carries nothing, and what has begun since is no part of it.
 */
function runningTree({ host, section, noted }: RecordedOwner, answer: HostAnswer): Evidence | null {
  const runs = (pid: number) => {
    const found = answer.processes.get(pid);
    return found !== undefined && !found.zombie && found.ageTicks > 0 && !answer.own.has(pid) ? found : null;
  };
  const left =
    noted.find(({ pid, startTimeTicks }) => runs(pid)?.startTimeTicks === startTimeTicks)?.pid ??
    [...(answer.carriers ?? [])].find(
      ([pid, variables]) =>
        runs(pid) !== null &&
        variables.TRAINLOCK_TOKEN === section.token &&
        isSameRun(schedulerJob(variables), section.scheduler),
    )?.[0];
  if (left === undefined) return null;
  const detail = `process ${left} of its training runs on, on ${host}`;
  return { source: "ssh", says: "alive", detail, living: livingOn(host, left, answer) };
}

/** Why a process of the training may run there without having been seen; null: none does. */
function unseen({ host, pid, section, noted, user, lock }: RecordedOwner, answer: HostAnswer, tried: TriedLock | null) {
  const hidden = [pid, ...noted.map((process) => process.pid)].find((number) => answer.hidden.has(number));
  if (hidden !== undefined || (!answer.seesAll && !answer.processes.has(pid)))
    return `${host} does not show process ${hidden ?? pid}, if there is one`;
  if (section.startTimeTicks === null)
    return answer.processes.has(pid) ? `${host} has a process ${pid}, but no start time was recorded` : null;
  if (section.token === null) return null;
  if (answer.carriers === null) return `${host} has no grep or tr to look for the rest of its training`;
  // Other users' environments are closed: then nothing that they have begun since may be there.
  const uid = user === null ? null : (answer.users.get(user) ?? null);
  if (answer.uid === 0 || answer.uid === uid) return null;
  if (lock !== null && tried === null)
    return `nobody could try the kernel lock on ${host}, and ${user ?? "its user"}'s processes cannot be looked at`;
  if (uid === null) return `${host} does not know whose processes ${user ?? "its user"}'s are`;
  const began = section.startTimeTicks;
  const later = [...answer.processes].find(
    ([, found]) => found.uid === uid && !found.zombie && found.startTimeTicks >= began,
  );
  return later === undefined ? null : `${host} runs process ${later[0]} of ${user}, which may be part of its training`;
}

/** A host that has booted since has none of its earlier processes; both sides outside any container, or the PIDs lie. */
function bootedSince({ host, section, writtenAtMs }: RecordedOwner, answer: HostAnswer): Evidence {
  const sameName = answer.hostname !== null && sameHost(answer.hostname, host);
  const machine = answer.machineId === null ? null : hashedMachineId(answer.machineId);
  const sameMachine = machine !== null && machine === section.machineId;
  const initial = section.pidNamespace === initialPidNamespace && answer.pidNamespace === initialPidNamespace;
  const isOlder = isFromBeforeBoot(writtenAtMs, answer.bootedAtMs);
  if (answer.bootId !== null && sameName && sameMachine && initial && isOlder) {
    return { source: "ssh", says: "dead", because: "host rebooted", detail: `${host} has booted since` };
  }
  return doubt(`the host that answers as ${host} is not certain to be the host of the record`);
}
