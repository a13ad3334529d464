import { sleep } from "../system/clock/sleep.ts";
import type { TreeProcess } from "../system/processes/process-tree.ts";
import { signalProcesses } from "../system/processes/signal-processes.ts";

/** How long a process may take to die of SIGKILL before it counts as stuck in the kernel, or as not ours to kill. */
const deathPatienceMs = 5000;
const lookEveryMs = 50;

/** Whoever is asked for, again and again: a tree grows while it is being stopped. */
type Doomed = () => readonly TreeProcess[];

/**
 * Sends SIGTERM once to each of the processes, and SIGKILL to what is left when the grace is over. Resolves when none runs, or
 * 5 s after the first SIGKILL with those that live on.
 */
export async function stopTree(doomed: Doomed, graceMs: number): Promise<readonly TreeProcess[]> {
  const asked = new Set<string>();
  const killAt = performance.now() + graceMs;
  const giveUpAt = killAt + deathPatienceMs;
  for (;;) {
    const left = doomed();
    const now = performance.now();
    if (left.length === 0 || now >= giveUpAt) return left;
    if (now >= killAt) signalProcesses(left, "SIGKILL");
    else askToEnd(left, asked);
    await sleep(now < killAt ? Math.min(lookEveryMs, killAt - now) : lookEveryMs / 5);
  }
}

function askToEnd(processes: readonly TreeProcess[], asked: Set<string>): void {
  const fresh = processes.filter(({ pid, startTimeTicks }) => !asked.has(`${pid} ${startTimeTicks}`));
  for (const { pid, startTimeTicks } of fresh) asked.add(`${pid} ${startTimeTicks}`);
  signalProcesses(fresh, "SIGTERM");
  // A stopped process would sleep on its SIGTERM.
  signalProcesses(fresh, "SIGCONT");
}
