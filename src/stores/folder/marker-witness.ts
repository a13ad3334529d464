import type { OwnerRecord } from "../../model/owner-record.ts";
import { processesWithToken, readProcess } from "../../system/processes/process-table.ts";
import { thisHost } from "../../system/processes/this-host.ts";

/** Whether the owner of a claim without a kernel lock is seen on this kernel: its wrapper, or the command that outlives it. */
export function ownerRunsHere({ pid, trainlock }: OwnerRecord): boolean {
  const { bootId, pidNamespace } = thisHost();
  if (pid === null || trainlock === null || trainlock.bootId === null) return false;
  if (trainlock.bootId !== bootId || trainlock.pidNamespace !== pidNamespace) return false;
  if (runsSince(pid, trainlock.startTimeTicks) || runsSince(trainlock.childPid, trainlock.childStartTimeTicks))
    return true;
  return trainlock.token !== null && processesWithToken(trainlock.token).length > 0;
}

function runsSince(pid: number | null, beganTicks: number | null): boolean {
  const found = pid === null ? null : readProcess(pid);
  return found?.kind === "alive" && found.facts.startTimeTicks === beganTicks;
}
