import { descendantsOf, type ProcessIdentity, readProcessTable, type TreeProcess } from "./process-tree.ts";
import { stillRunning } from "./signal-processes.ts";

/** A command's process tree as another process knows it, which is no ancestor of it: what it was told, and what descends from that. */
export class KnownTree {
  readonly #known = new Map<string, ProcessIdentity>();

  learn(processes: readonly ProcessIdentity[]): void {
    for (const each of processes) this.#known.set(`${each.pid} ${each.startTimeTicks}`, each);
  }

  /** Those that run. What they have started meanwhile is known from now on, too. */
  living(): TreeProcess[] {
    const table = readProcessTable();
    for (const each of stillRunning([...this.#known.values()])) this.learn(descendantsOf(each.pid, table));
    const running = stillRunning([...this.#known.values()]);
    this.#known.clear();
    this.learn(running);
    const pids = new Set(running.map(({ pid }) => pid));
    return [...table.values()].filter(({ pid, runs }) => runs && pids.has(pid));
  }
}
