import { isOwnChild } from "../system/processes/own-children.ts";
import {
  descendantsOf,
  newBelow,
  type ProcessIdentity,
  readProcessTable,
  sameProcess,
  type TreeProcess,
} from "../system/processes/process-tree.ts";
import { becomeSubreaper, hasChildren } from "../system/processes/subreaper.ts";
import type { WatchedTree } from "./watch-tree.ts";

/** What a command is, for the caller that waits for its end or brings it about. */
export interface ProcessTree extends WatchedTree {
  /** Those of the tree that run, the command included. */
  living(): readonly TreeProcess[];
  /** The session that the command was started in. */
  session(): number;
}

/**
 * A command is its process tree: every descendant, whatever session, process group, environment or descriptors it has moved to.
 * Made before the command is started, because what was our child before is no part of it.
 */
export class CommandTree implements ProcessTree {
  readonly #before: readonly ProcessIdentity[];
  /** What was seen of the tree last. Only where the kernel makes us no subreaper can one of it be nobody's descendant. */
  #seen: readonly TreeProcess[] = [];

  constructor() {
    // A shell may have started something and then become us.
    this.#before = hasChildren() ? descendantsOf(process.pid, readProcessTable()) : [];
    becomeSubreaper();
  }

  /** One reading of /proc, or one call where we have no child at all. */
  living(): readonly TreeProcess[] {
    if (!hasChildren() && this.#seen.length === 0) return [];
    const table = readProcessTable();
    const found = descendantsOf(process.pid, table, (each) => this.#isNoPart(each)).filter(({ runs }) => runs);
    const pids = new Set(found.map(({ pid }) => pid));
    const escaped = this.#seen.filter((seen) => {
      const now = table.get(seen.pid);
      return !pids.has(seen.pid) && now?.runs === true && sameProcess(seen, now);
    });
    this.#seen = [...found, ...escaped];
    return this.#seen;
  }

  known(): readonly TreeProcess[] {
    return this.#seen;
  }

  begun(): readonly TreeProcess[] {
    // Orphans are our own children.
    const begun = newBelow([process.pid, ...this.#seen.map(({ pid }) => pid)], (each) => this.#isNoPart(each));
    this.#seen = [...this.#seen, ...begun];
    return begun;
  }

  session(): number {
    return readProcessTable().get(process.pid)?.session ?? 0;
  }

  #isNoPart(process: TreeProcess): boolean {
    return isOwnChild(process.pid, process.startTimeTicks) || this.#before.some((each) => sameProcess(each, process));
  }
}
