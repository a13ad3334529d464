import { bootMs } from "../clock/boot-time.ts";
import { sleep } from "../clock/sleep.ts";
import type { TreeProcess } from "./process-tree.ts";
import { signalProcesses } from "./signal-processes.ts";

/** How long a process may take to die of SIGKILL before it counts as stuck in the kernel, or as not ours to kill. */
const deathPatienceMs = 5000;
const lookEveryMs = 50;

/**
 * Sends SIGTERM once to each of the processes, and SIGKILL to what is left when the grace is over. `living` is called again and
 * again, because a tree grows while it is being stopped. Resolves when none runs, or 5 s after the first SIGKILL with those
 * that live on. While `mayAsk` returns false no SIGTERM is sent: another process sends it. The clock goes on while the machine
 * sleeps.
 */
export async function stopTree(
  living: () => readonly TreeProcess[],
  graceMs: number,
  mayAsk: () => boolean = () => true,
): Promise<readonly TreeProcess[]> {
  const asked = new Set<string>();
  const killAtMs = bootMs() + graceMs;
  for (;;) {
    const left = living();
    const nowMs = bootMs();
    if (left.length === 0 || nowMs >= killAtMs + deathPatienceMs) return left;
    if (nowMs >= killAtMs) signalProcesses(left, "SIGKILL");
    else if (mayAsk()) askToEnd(left, asked);
    await sleep(nowMs < killAtMs ? Math.min(lookEveryMs, killAtMs - nowMs) : lookEveryMs / 5);
  }
}

function askToEnd(processes: readonly TreeProcess[], asked: Set<string>): void {
  const fresh = processes.filter(({ pid, startTimeTicks }) => !asked.has(`${pid} ${startTimeTicks}`));
  for (const { pid, startTimeTicks } of fresh) asked.add(`${pid} ${startTimeTicks}`);
  signalProcesses(fresh, "SIGTERM");
  // A stopped process would sleep on its SIGTERM.
  signalProcesses(fresh, "SIGCONT");
}
