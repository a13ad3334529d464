import { statSync } from "node:fs";
import type { LivingProcess } from "../../model/holder.ts";
import type { OwnerRecord } from "../../model/owner-record.ts";
import { isRecordedChild } from "../../model/recorded-child.ts";
import { flockHolderPids } from "./flock-holders.ts";
import { readProcess } from "./process-table.ts";
import { commandOf, readTreeProcess } from "./process-tree.ts";
import { thisHost } from "./this-host.ts";
import { trainingProcesses } from "./training-processes.ts";

/** What a process of this host runs, for people who want to look at it. */
export function asLiving(pid: number): LivingProcess {
  const name = readTreeProcess(pid)?.name ?? "";
  return { pid, hostname: thisHost().hostname, command: commandOf({ pid, name }) };
}

/**
 * Who keeps a held kernel lock in place of the process that its record names: null while that one lives, and where nobody is
 * seen here. The command comes first, then what is left of its process tree, then a process that has the locked file open.
 */
export function livingInPlaceOf(
  record: OwnerRecord,
  weightsDir: string | null,
  lockPath: string,
): LivingProcess | null {
  if (!hasEndedHere(record)) return null;
  const section = record.trainlock;
  if (section !== null) {
    const child = section.childPid === null ? null : readProcess(section.childPid);
    if (child?.kind === "alive" && isRecordedChild(section, child.facts.startTimeTicks))
      return asLiving(child.facts.pid);
    const [left] = trainingProcesses(section, weightsDir ?? section.weightsDir);
    if (left !== undefined) return asLiving(left.pid);
  }
  const [holder] = holdersOf(lockPath);
  return holder === undefined ? null : asLiving(holder);
}

/** Whether a record's process was one of this host, and is gone. Old writers name their host, and no boot. */
export function hasEndedHere({ pid, hostname, trainlock }: OwnerRecord): boolean {
  const { bootId, pidNamespace, hostname: ours } = thisHost();
  if (pid === null) return false;
  const isHere =
    trainlock === null || trainlock.bootId === null
      ? hostname === ours
      : trainlock.bootId === bootId && trainlock.pidNamespace === pidNamespace;
  if (!isHere) return false;
  const found = readProcess(pid);
  if (found.kind === "gone" || found.kind === "zombie") return true;
  const began = trainlock?.startTimeTicks ?? null;
  return found.kind === "alive" && began !== null && found.facts.startTimeTicks !== began;
}

function holdersOf(lockPath: string): readonly number[] {
  try {
    return flockHolderPids(lockPath, statSync(lockPath, { bigint: true }));
  } catch {
    return [];
  }
}
