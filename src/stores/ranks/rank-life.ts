import { dirname } from "node:path";
import { provesFor, settledMount } from "../../site/lock-scope.ts";
import { mountOf } from "../../system/files/mounts.ts";
import type { LockPrimitive } from "../../system/libc/flock.ts";
import { startedBy } from "../../system/processes/process-table.ts";
import { readTreeProcess } from "../../system/processes/process-tree.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { isOnOurKernel, lifeOf, type Participant } from "./participant.ts";
import { isPlaceLocked } from "./place.ts";
import type { JoinedRank, Presence } from "./rank-status.ts";

/** Whether a joined rank or its command still runs, by its processes and by the lock of its file. */
export function lifeOfRank({ path, presence }: JoinedRank, primitive: LockPrimitive): "runs" | "gone" | "unknown" {
  if (presence?.state === "ended") return "gone";
  const isLocked = isPlaceLocked(path, primitive);
  if (isLocked === true) return "runs";
  if (presence === null) return "unknown";
  const { follower, token } = presence;
  if (lifeOf(follower) === "runs") return "runs";
  if (isOnOurKernel(follower) && token !== null && startedBy(follower.pid, token).length > 0) return "runs";
  if (isOnOurKernel(follower) && presence.unmarked.some(runs)) return "runs";
  if (isOnOurKernel(follower)) return "gone";
  return isLocked === false && reachesFrom(path, follower) ? "gone" : "unknown";
}

function runs([pid, startTimeTicks]: Presence["unmarked"][number]): boolean {
  const found = readTreeProcess(pid);
  return found?.runs === true && found.startTimeTicks === startTimeTicks;
}

/** Whether this host sees a kernel lock that was taken on that one. */
function reachesFrom(path: string, { bootId, hostname }: Participant): boolean {
  const mount = settledMount(dirname(path), mountOf(dirname(path)));
  if (mount.lockScope === "none") return false;
  if (bootId !== null && bootId === thisHost().bootId) return true;
  return mount.lockScope === "cluster" && provesFor(mount.proof, hostname);
}
