import type { Evidence } from "../../model/evidence.ts";
import { sameHost } from "../../model/host-name.ts";
import { isRecordedChild } from "../../model/recorded-child.ts";
import { hashedMachineId, initialPidNamespace } from "../../system/processes/this-host.ts";
import { isFromBeforeBoot } from "../record-time.ts";
import type { HostReply } from "./ask-host.ts";
import type { HostAnswer } from "./host-answer.ts";
import type { RecordedOwner } from "./owner.ts";

const doubt = (detail: string, because: "remote process" | "other container" = "remote process"): Evidence => ({
  source: "ssh",
  says: "unknown",
  because,
  detail,
});
const dead = (detail: string): Evidence => ({ source: "ssh", says: "dead", because: "PID not running", detail });

/** What its host says of a process that trainlock recorded. Pure. Boot id, PID namespace and start time make it that one. */
export function recordedOnHost(owner: RecordedOwner, reply: HostReply): Evidence {
  const { host, pid, section } = owner;
  if (reply.kind === "silent") return doubt(`${host} ${reply.why}`);
  const { answer } = reply;
  if (answer.bootId !== section.bootId) return bootedSince(owner, answer);
  if (section.pidNamespace === null || answer.pidNamespace !== section.pidNamespace) {
    return doubt(`PID ${pid} belongs to another container on ${host}`, "other container");
  }
  const command = runningCommand(owner, answer);
  if (command !== null) return command;
  const found = answer.processes.get(pid);
  if (found === undefined) {
    if (answer.hidden.has(pid) || !answer.seesAll)
      return doubt(`${host} does not show process ${pid}, if there is one`);
    return dead(`no process ${pid} on ${host}`);
  }
  if (found.zombie) return dead(`process ${pid} on ${host} has ended (zombie)`);
  if (section.startTimeTicks === null) return doubt(`${host} has a process ${pid}, but no start time was recorded`);
  if (found.startTimeTicks !== section.startTimeTicks)
    return dead(`process ${pid} on ${host} is another one, started later`);
  return { source: "ssh", says: "alive", detail: `process ${pid} runs on ${host} since the recorded start` };
}

/** A command outlives a killed wrapper, and trains on. */
function runningCommand({ host, section }: RecordedOwner, answer: HostAnswer): Evidence | null {
  const { childPid } = section;
  if (childPid !== null && answer.hidden.has(childPid)) return doubt(`${host} does not show process ${childPid}`);
  const child = childPid === null ? undefined : answer.processes.get(childPid);
  if (child === undefined || child.zombie || !isRecordedChild(section, child.startTimeTicks)) return null;
  return { source: "ssh", says: "alive", detail: `its command runs on as process ${childPid} on ${host}` };
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
  return doubt(`what answers as ${host} is not certain to be the host of the record`);
}
