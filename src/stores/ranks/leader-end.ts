import type { Configuration } from "../../model/configuration.ts";
import { type OwnerRecord, recordIn } from "../../model/owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { readProcess, startedBy } from "../../system/processes/process-table.ts";
import { probeKernelLock } from "../folder/kernel-lock-probe.ts";
import { readLockRecord } from "../folder/lock-file.ts";
import { outOfReach } from "../folder/lock-holder.ts";
import { readMarkerRecord } from "../folder/read-marker.ts";
import { isOnOurKernel, lifeOf } from "./participant.ts";
import type { RankStatus } from "./rank-status.ts";

/** Seconds of silence of a rank 0 on another host. After `ask` its kernel lock decides, after `believe` the silence itself. */
const silent = { ask: 5, believe: 15 } as const;

/** Why the claim of a rank 0 has ended, by its files and processes; null: nothing shows that it has ended. */
export async function leaderEnd(
  layout: Layout,
  configuration: Configuration,
  status: RankStatus & { readonly token: string },
  silentForSeconds: number,
): Promise<string | null> {
  const lockPath = layout.kernelLockPath(configuration);
  const beside = recordIn(readMarkerRecord(layout.weightsDir(configuration)).reading);
  // The command is noted here first. A wrapper that was killed early has noted it nowhere else.
  const locked = recordIn(readLockRecord(lockPath));
  const owner = beside?.trainlock?.token ?? null;
  if (owner !== null && owner !== status.token) return "another claim has been made";
  const own = [locked, beside].filter((record) => record?.trainlock?.token === status.token);
  if (own.some((record) => record !== null && isGone(record))) return "rank 0 is gone";
  // Inside of a run, the record belongs to the outer run.
  if (lifeOf(status.leader) === "gone" && own.every((record) => record?.pid !== status.leader.pid))
    return startedBy(status.leader.pid, status.token).length > 0 ? null : "rank 0 is gone";
  if (status.state !== "held" || silentForSeconds < silent.ask || lifeOf(status.leader) !== "elsewhere") return null;
  // A command keeps the kernel lock when its wrapper is gone. We see that if kernel locks reach this host.
  const record = own.find((found) => found !== null) ?? null;
  const reaches = record !== null && outOfReach(lockPath, record) === null;
  const { lock } = await probeKernelLock(lockPath, layout.site.lockPrimitive);
  if (reaches && lock.state === "held") return null;
  if (reaches && lock.state === "free") return "rank 0 is gone";
  return silentForSeconds >= silent.believe ? silentFor(silentForSeconds) : null;
}

/**
 * The same for a claim in a store of leases. Each rank renews it there, so the claim shows nothing about rank 0, and no record in
 * the folder belongs to it.
 */
export function leasedLeaderEnd(
  { leader, token, state }: RankStatus & { readonly token: string },
  silentForSeconds: number,
): string | null {
  const life = lifeOf(leader);
  if (life === "gone") return startedBy(leader.pid, token).length > 0 ? null : "rank 0 is gone";
  const isSilent = life === "elsewhere" && state === "held" && silentForSeconds >= silent.believe;
  return isSilent ? silentFor(silentForSeconds) : null;
}

function silentFor(seconds: number): string {
  return `rank 0 has written nothing for ${seconds} s`;
}

/** Whether wrapper and command of a record both have ended on this host. */
function isGone({ pid, trainlock }: OwnerRecord): boolean {
  if (trainlock === null || trainlock.releasedAt !== null || trainlock.token === null || pid === null) return false;
  if (!isOnOurKernel(trainlock)) return false;
  const hasEnded = (number: number) => /^(gone|zombie)$/.test(readProcess(number).kind);
  if (!hasEnded(pid)) return false;
  // The wrapper was killed before it could note its command. The command carries the token of its claim.
  if (trainlock.childPid === null) return startedBy(pid, trainlock.token).length === 0;
  return hasEnded(trainlock.childPid);
}
