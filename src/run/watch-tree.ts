import { lastStartedPid } from "../system/processes/proc-files.ts";
import { readTreeProcess, sameProcess, type TreeProcess } from "../system/processes/process-tree.ts";

/**
 * A short command never pays for a look. A launcher starts its workers in its first moments: a look comes after a third of its
 * age.
 */
const [leastPauseMs, mostPauseMs, shareOfAge] = [15, 1000, 1 / 3];
/**
 * The looks take at most a fiftieth of one processor: reading /proc takes long on a large host. By the time that they compute: on a
 * host that is busy each takes long by the clock, and just there new processes should not be noted late.
 */
const pausePerLook = 50;
/**
 * The longest pause, however much a look costs. The longer it is, the more processes no note has when the wrapper is killed.
 */
const longestPauseMs = 5000;
/** Between two looks. A glance reads a few small files, on a large host as well. */
const glanceEveryMs = 100;

/** A tree that is looked at again and again. */
export interface WatchedTree {
  living(): readonly TreeProcess[];
  /** What is known of it. */
  known(): readonly TreeProcess[];
  /** What those that are known have started since. They are known from now on. */
  begun(): readonly TreeProcess[];
}

/** What is asked of the processes of a tree. */
export interface Traces {
  /** Whether a process is found without a note of it: the note may wait for the next look. All others are handed on at once. */
  leavesTrace(pid: number): boolean;
  holdsLock(process: TreeProcess): boolean;
}

/**
 * Looks at a command's tree again and again, and hands it on whenever it has changed, or one of it has closed the lock. Returns how
 * to end this.
 */
export function watchTree(
  tree: WatchedTree,
  traces: Traces,
  onChange: (living: readonly TreeProcess[]) => void,
): () => void {
  const startedAt = performance.now();
  const glances = new Glances(tree, traces);
  let [before, lookAt, glancePauseMs] = ["", startedAt + leastPauseMs, glanceEveryMs];
  let timer: NodeJS.Timeout;
  const handOn = (living: readonly TreeProcess[]) => {
    const now = summaryOf(living, traces);
    if (now !== before) onChange(living);
    before = now;
    glances.forget(living);
  };
  const tick = () => {
    const usedBefore = process.cpuUsage();
    const isLook = performance.now() >= lookAt;
    const hides = !isLook && glances.findHiding();
    if (isLook) handOn(tree.living());
    else if (hides) handOn(tree.known());
    const { user, system } = process.cpuUsage(usedBefore);
    const restMs = Math.min(longestPauseMs, ((user + system) / 1000) * pausePerLook);
    const now = performance.now();
    const pauseMs = Math.min(mostPauseMs, Math.max(leastPauseMs, (now - startedAt) * shareOfAge));
    // A glance rests for what it has cost itself: on a large host looks are rare, and glances are not.
    if (isLook) lookAt = now + Math.max(pauseMs, restMs);
    // What starts such processes all the time is noted once a second.
    else glancePauseMs = hides ? Math.min(mostPauseMs, glancePauseMs * 2) : Math.max(glanceEveryMs, glancePauseMs / 2);
    const glanceMs = Math.max(Math.min(glancePauseMs, pauseMs), isLook ? 0 : restMs);
    timer = setTimeout(tick, Math.max(1, Math.min(lookAt - now, glanceMs)));
  };
  timer = setTimeout(tick, leastPauseMs);
  return () => clearTimeout(timer);
}

function summaryOf(processes: readonly TreeProcess[], { holdsLock }: Traces): string {
  return processes
    .map((each) => `${each.pid} ${each.startTimeTicks} ${holdsLock(each)}`)
    .sort()
    .join(",");
}

/** What has begun between two looks. */
class Glances {
  readonly #tree: WatchedTree;
  readonly #traces: Traces;
  /** Each may clear its environment yet. */
  #young: readonly TreeProcess[] = [];
  #lastStarted: string | null = null;

  constructor(tree: WatchedTree, traces: Traces) {
    this.#tree = tree;
    this.#traces = traces;
  }

  /** Whether a process has begun that only a note shows. */
  findHiding(): boolean {
    const last = lastStartedPid();
    if (last === null || last !== this.#lastStarted) this.#young = [...this.#young, ...this.#tree.begun()];
    this.#lastStarted = last;
    this.#young = this.#young.filter((each) => {
      const now = readTreeProcess(each.pid);
      return now?.runs === true && sameProcess(each, now);
    });
    return this.#young.some(({ pid }) => !this.#traces.leavesTrace(pid));
  }

  /** These are noted. */
  forget(noted: readonly TreeProcess[]): void {
    this.#young = this.#young.filter((each) => !noted.some((one) => sameProcess(each, one)));
  }
}
