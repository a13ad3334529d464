import { sleep } from "../system/clock/sleep.ts";
import { type GroupMember, groupMembers, signalGroup } from "../system/processes/process-group.ts";

/** How long a process may take to die of SIGKILL before it counts as stuck in the kernel. */
const deathPatienceMs = 5000;

export interface LeftOver {
  readonly onRemaining: (processes: readonly GroupMember[]) => void;
  readonly onKill: (processes: readonly GroupMember[]) => void;
  /** From now to SIGKILL, milliseconds. */
  readonly killAfterMs: number;
}

/**
 * Waits for what a command left in its process group: it may still write into the weights dir, so the lock is not free
 * for a successor. Resolves when all are gone, by themselves or by SIGKILL.
 */
export async function outlastGroup(group: number, { onRemaining, onKill, killAfterMs }: LeftOver): Promise<void> {
  let remaining: readonly GroupMember[] = groupMembers(group);
  if (remaining.length === 0) return;
  // A shell's last background process is often ending as well.
  await sleep(20);
  remaining = groupMembers(group);
  if (remaining.length === 0) return;
  onRemaining(remaining);
  remaining = await watch(group, killAfterMs);
  if (remaining.length === 0) return;
  onKill(remaining);
  signalGroup(group, "SIGKILL");
  await watch(group, deathPatienceMs);
}

async function watch(group: number, patienceMs: number): Promise<readonly GroupMember[]> {
  const giveUpAt = performance.now() + patienceMs;
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 2, 250)) {
    const remaining = groupMembers(group);
    const leftMs = giveUpAt - performance.now();
    if (remaining.length === 0 || leftMs <= 0) return remaining;
    await sleep(Math.min(pauseMs, leftMs));
  }
}
