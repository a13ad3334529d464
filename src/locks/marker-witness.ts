import type { OwnerRecord } from "../model/owner-record.ts";
import { processesWithToken, readProcess } from "../system/process-table.ts";
import { thisHost } from "../system/this-host.ts";

/** Whether the owner of a claim without a kernel lock is seen on this kernel: its wrapper, or the command that outlives it. */
export function ownerRunsHere({ pid, trainlock }: OwnerRecord): boolean {
  const { bootId, pidNamespace } = thisHost();
  if (pid === null || trainlock === null || trainlock.bootId === null) return false;
  if (trainlock.bootId !== bootId || trainlock.pidNamespace !== pidNamespace) return false;
  const wrapper = readProcess(pid);
  if (wrapper.kind === "alive" && wrapper.facts.startTimeTicks === trainlock.startTimeTicks) return true;
  return trainlock.token !== null && processesWithToken(trainlock.token).length > 0;
}
