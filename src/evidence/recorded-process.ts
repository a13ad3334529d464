import type { Evidence } from "../model/evidence.ts";
import type { LivingProcess } from "../model/holder.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import type { OwnerRecord, TrainlockSection } from "../model/owner-record.ts";
import { isRecordedChild } from "../model/recorded-child.ts";
import { bootedAtMs } from "../system/clock/boot-clock.ts";
import { asLiving } from "../system/processes/living-process.ts";
import {
  type ProcessReading,
  pidNamespacesInUse,
  pidsInsideContainers,
  processesWithToken,
  readProcess,
  seesAllProcesses,
} from "../system/processes/process-table.ts";
import { commandLineOf } from "../system/processes/process-tree.ts";
import { initialPidNamespace, thisHost } from "../system/processes/this-host.ts";
import { trainingProcesses } from "../system/processes/training-processes.ts";
import { isFromBeforeBoot, recordWrittenAtMs } from "./record-time.ts";

/**
 * The process that a record names, where the record says on which kernel it ran. Host names are not asked: containers share
 * and reuse them, boot ids they cannot. The start time tells a process from a later one with its PID (proc(5), stat field 22).
 */
export function recordedProcessEvidence(facts: LockFacts): Evidence[] {
  const { record, weightsDir } = facts;
  const section = record?.trainlock ?? null;
  if (record === null || section === null || record.pid === null) return [];
  const host = thisHost();
  if (section.bootId === null || section.bootId !== host.bootId)
    return rebootEvidence(record, section, recordWrittenAtMs(facts));
  if (section.pidNamespace === null || section.pidNamespace !== host.pidNamespace) {
    const wrapper = inContainer(record.pid, section.startTimeTicks);
    if (wrapper !== null) {
      const detail = `process ${wrapper} is ${record.pid} in its container, and runs since the recorded start`;
      return [{ source: "process", says: "alive", detail }];
    }
    const goesOn = treeEvidence(section, weightsDir ?? section.weightsDir);
    if (goesOn.length > 0) return goesOn;
    if (isLeft(section, record.user)) {
      const detail = `nobody is left in its container, PID namespace ${section.pidNamespace}`;
      return [{ source: "process", says: "dead", because: "PID not running", detail }];
    }
    const detail = `PID ${record.pid} belongs to another container on this host`;
    return [{ source: "process", says: "unknown", because: "other container", detail }];
  }
  const owner = ownerEvidence({ pid: record.pid, user: record.user }, section);
  return owner.says === "alive" ? [owner] : [owner, ...trainingEvidence(section, weightsDir ?? section.weightsDir)];
}

/** The number here of a process that has another in a container of this host; null: none that is seen has it. */
function inContainer(pid: number, startTimeTicks: number | null): number | null {
  const here = pidsInsideContainers().get(pid) ?? [];
  const isIt = (found: ProcessReading) => found.kind === "alive" && found.facts.startTimeTicks === startTimeTicks;
  return here.find((outer) => isIt(readOnce(outer))) ?? null;
}

/**
 * Whether the PID namespace of a training has ended: no process is in it, and none that got out of it carries the claim's
 * token. Only who sees all of them knows, from outside of any container.
 */
function isLeft({ pidNamespace, token }: TrainlockSection, user: string | null): boolean {
  if (pidNamespace === null || token === null || pidNamespace === initialPidNamespace) return false;
  if (!thisHost().inInitialPidNamespace || !seesAllProcesses()) return false;
  const inUse = pidNamespacesInUse(isOurUser(user));
  return inUse !== null && !inUse.has(pidNamespace) && processesWithToken(token).length === 0;
}

/** A tree may have hundreds of processes; a few are enough to look at. */
const mostNamed = 3;

const readings = new Map<number, ProcessReading>();

/** A process may hold a hundred locks of a list: it is looked at once for all that are judged in one turn of the event loop. */
function readOnce(pid: number): ProcessReading {
  const before = readings.get(pid);
  if (before !== undefined) return before;
  if (readings.size === 0) setImmediate(() => readings.clear());
  const reading = readProcess(pid);
  readings.set(pid, reading);
  return reading;
}

function isOurUser(user: string | null): boolean {
  const ours = thisHost();
  return ours.uid !== 0 && user === ours.user;
}

function ownerEvidence({ pid, user }: { pid: number; user: string | null }, section: TrainlockSection): Evidence {
  const process = readOnce(pid);
  const gone = (detail: string): Evidence => ({ source: "process", says: "dead", because: "PID not running", detail });
  switch (process.kind) {
    case "gone":
      return gone(`no process ${pid} on this host`);
    case "zombie":
      return gone(`process ${pid} has ended (zombie)`);
    case "hidden": {
      // Nobody's own processes refuse them a signal.
      if (!process.takesSignals && isOurUser(user)) return gone(`process ${pid} here is another user's`);
      const detail = `process ${pid} exists, but may not be looked at`;
      return { source: "process", says: "unknown", because: "other container", detail };
    }
    case "alive":
      if (section.startTimeTicks !== null && process.facts.startTimeTicks !== section.startTimeTicks) {
        return gone(`process ${pid} is another one, started later`);
      }
      return { source: "process", says: "alive", detail: `process ${pid} runs on this host since the recorded start` };
  }
}

/**
 * A training outlives a killed wrapper: as the recorded command, or as any process of its tree. Each is named, so that people
 * can look at it.
 */
function trainingEvidence(section: TrainlockSection, weightsDir: string | null): Evidence[] {
  const { childPid } = section;
  const child = childPid === null ? null : readOnce(childPid);
  if (childPid !== null && child?.kind === "alive" && isRecordedChild(section, child.facts.startTimeTicks))
    return [alive(`its command runs on as process ${childPid}`, asLiving(childPid))];
  return treeEvidence(section, weightsDir);
}

function alive(detail: string, living: LivingProcess): Evidence {
  return { source: "process", says: "alive", detail, living };
}

function treeEvidence(section: TrainlockSection, weightsDir: string | null): Evidence[] {
  return trainingProcesses(section, weightsDir)
    .slice(0, mostNamed)
    .map((found) =>
      alive(`process ${found.pid} of its training runs on: ${commandLineOf(found)}`, asLiving(found.pid)),
    );
}

/**
 * A host that has booted since has none of its earlier processes; both sides outside any container, or the PIDs lie. Hosts
 * that were copied from one image have one name and one machine id: a claim that is not older than this boot is another's.
 */
function rebootEvidence(record: OwnerRecord, section: TrainlockSection, writtenAtMs: number | null): Evidence[] {
  const host = thisHost();
  const sameHost =
    record.hostname === host.hostname && section.machineId !== null && section.machineId === host.machineId;
  const initial = host.inInitialPidNamespace && section.pidNamespace === initialPidNamespace;
  const isOlder = isFromBeforeBoot(writtenAtMs, bootedAtMs());
  if (section.bootId !== null && host.bootId !== null && sameHost && initial && isOlder) {
    return [{ source: "boot", says: "dead", because: "host rebooted", detail: "this host has booted since" }];
  }
  if (sameHost && !isOlder) {
    const detail =
      "a host of this name ran it on another boot, and the claim is not certain to be from before this boot";
    return [{ source: "boot", says: "unknown", because: "remote process", detail }];
  }
  const where = record.hostname === null ? "another host" : `host ${record.hostname}`;
  return [
    { source: "process", says: "unknown", because: "remote process", detail: `process ${record.pid} ran on ${where}` },
  ];
}
