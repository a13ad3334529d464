import { lstatSync } from "node:fs";
import { kernelLockFacts } from "../listing/kernel-lock-facts.ts";
import { type Outcome, warning } from "../model/finding.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import type { Layout } from "../site/layout.ts";
import { flockHolderPids } from "../system/processes/flock-holders.ts";
import { readProcText } from "../system/processes/proc-files.ts";
import { processesWithToken } from "../system/processes/process-table.ts";
import { commandLineOf, descendantsOf, readProcessTable, type TreeProcess } from "../system/processes/process-tree.ts";
import { thisHost } from "../system/processes/this-host.ts";

const longestCommand = 60;
const means = "if that program is killed, the lock is free while this one may still train";
const remedy =
  "take the lock before workers are started, or start them by lock.run or lock.popen (trainlock help python.md)";

/**
 * Processes that a Python program on this host has started and that do not hold its lock with it: a forkserver that was there
 * before, what was given an environment of its own. Only processes that may be looked at are judged.
 */
export async function looseWorkers(layout: Layout): Promise<readonly { subject: string; outcome: Outcome }[]> {
  const facts = await kernelLockFacts(layout, () => undefined);
  const held = facts.filter(isHeldByProgram);
  if (held.length === 0) return [];
  const table = readProcessTable();
  return held.flatMap(({ name, lockPath, pid, record }) => {
    const token = record?.trainlock?.token ?? "";
    const owner = table.get(pid ?? 0);
    if (owner === undefined || owner.startTimeTicks !== record?.trainlock?.startTimeTicks) return [];
    const stats = lstatSync(lockPath, { bigint: true, throwIfNoEntry: false });
    const holders = new Set([
      ...(stats === undefined ? [] : flockHolderPids(lockPath, stats)),
      ...processesWithToken(token),
    ]);
    const loose = descendantsOf(owner.pid, table, isNoWorker).filter(
      (process) => process.runs && !holders.has(process.pid) && mayBeLookedAt(process),
    );
    return loose.map((process) => ({ subject: name, outcome: notHeld(process, owner) }));
  });
}

/** Held by the program itself, and not by a wrapper that knows its command's whole tree. */
function isHeldByProgram({ kernelLock, record, pid }: LockFacts): boolean {
  const section = record?.trainlock ?? null;
  const { bootId, pidNamespace } = thisHost();
  if (section === null || pid === null || kernelLock.state !== "held" || section.releasedAt !== null) return false;
  return section.childPid === pid && section.bootId === bootId && section.pidNamespace === pidNamespace;
}

/** multiprocessing's resource tracker, which ends with the last worker, and what asks for locks. */
function isNoWorker(process: TreeProcess): boolean {
  return process.name === "trainlock" || commandLineOf(process).includes("multiprocessing.resource_tracker");
}

/** What another user's process has open, and what its environment is, cannot be seen. */
function mayBeLookedAt(process: TreeProcess): boolean {
  return readProcText(`/proc/${process.pid}/environ`) !== null;
}

function notHeld(process: TreeProcess, owner: TreeProcess): Outcome {
  const line = commandLineOf(process);
  const command = line.length <= longestCommand ? line : `${line.slice(0, longestCommand)}…`;
  return warning(`PID ${process.pid} (${command}) is of PID ${owner.pid} and does not hold its lock`, means, remedy);
}
