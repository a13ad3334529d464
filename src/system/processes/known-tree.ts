import {
  descendantsOf,
  type ProcessIdentity,
  readProcessTable,
  sameProcess,
  type TreeProcess,
} from "./process-tree.ts";

/**
 * A command's process tree as a process knows it that is no ancestor of the command: the processes that it was given, and
 * their descendants.
 */
export class KnownTree {
  readonly #known = new Map<string, ProcessIdentity>();

  learn(processes: readonly ProcessIdentity[]): void {
    for (const each of processes) this.#known.set(`${each.pid} ${each.startTimeTicks}`, each);
  }

  /** Those that run. What they have started meanwhile is known from now on, too. */
  living(): TreeProcess[] {
    const table = readProcessTable();
    const living = new Map<number, TreeProcess>();
    for (const known of this.#known.values()) {
      const now = table.get(known.pid);
      if (now?.runs !== true || !sameProcess(known, now) || living.has(now.pid)) continue;
      for (const each of [now, ...descendantsOf(now.pid, table)]) if (each.runs) living.set(each.pid, each);
    }
    this.#known.clear();
    this.learn([...living.values()]);
    return [...living.values()];
  }
}
