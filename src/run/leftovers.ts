import { sleepUnlessAborted } from "../system/clock/sleep.ts";
import type { TreeProcess } from "../system/processes/process-tree.ts";
import { stopTree } from "../system/processes/stop-tree.ts";
import type { ProcessTree } from "./command-tree.ts";

/** What becomes of processes that go on when their command has ended. */
export type LeftoverPolicy = "kill" | "wait" | "leave";

export interface LeftoverRules {
  /** Null: those in the command's session are ended, and after exit code 0 the others are waited for. */
  readonly policy: LeftoverPolicy | null;
  readonly endedWell: boolean;
  /** From the command's end to SIGTERM, and from there to SIGKILL, milliseconds. */
  readonly killAfterMs: number;
  /** Aborts when all are to be ended, whatever the policy: a signal to us was passed on to them. */
  readonly hurried: AbortSignal;
  /** Aborts when the lock is lost and the tree is stopped elsewhere. */
  readonly stopped: AbortSignal;
}

export interface LeftoverEvents {
  /** They go on, and the lock is kept; `waits`: for as long as they do. */
  remaining(processes: readonly TreeProcess[], waits: boolean): void;
  killing(processes: readonly TreeProcess[]): void;
}

export interface Outlasted {
  /** Nothing of the tree was signalled, and nothing of it is left. */
  readonly byItself: boolean;
  readonly left: readonly TreeProcess[];
}

const longestLookMs = 250;
const nameEveryMs = 60_000;

/**
 * Waits for what a command left of its tree: it may still write into the weights dir, so the lock is not free for a successor.
 * Resolves when all are gone, by themselves or ended by us, at once where they may stay, or when the lock is lost.
 */
export async function outlastTree(tree: ProcessTree, rules: LeftoverRules, events: LeftoverEvents): Promise<Outlasted> {
  if (tree.living().length === 0) return { byItself: true, left: [] };
  // A shell's last background process is often ending as well.
  await sleepUnlessAborted(20, rules.stopped);
  const session = tree.session();
  const isDoomed = (each: TreeProcess) => rules.hurried.aborted || isEnded(each, rules, session);
  const beganAt = performance.now();
  let nameAt = beganAt;
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 2, longestLookMs)) {
    const left = tree.living();
    if (left.length === 0 || rules.stopped.aborted) return { byItself: left.length === 0, left };
    if (rules.policy === "leave") return { byItself: false, left };
    const now = performance.now();
    const doomed = left.filter(isDoomed);
    if (doomed.length > 0 && (now >= beganAt + rules.killAfterMs || rules.hurried.aborted)) {
      events.killing(doomed);
      return endTree(tree, isDoomed, rules, events);
    }
    if (now >= nameAt) {
      events.remaining(left, doomed.length === 0);
      nameAt += nameEveryMs;
    }
    await sleepUnlessAborted(pauseMs, AbortSignal.any([rules.hurried, rules.stopped]));
  }
}

function isEnded({ session }: TreeProcess, { policy, endedWell }: LeftoverRules, commandSession: number): boolean {
  if (policy !== null) return policy === "kill";
  return !endedWell || session === commandSession;
}

/** Ends those that are to be, then waits for the others: the lock is kept for as long as one of the tree runs. */
async function endTree(
  tree: ProcessTree,
  isDoomed: (process: TreeProcess) => boolean,
  { killAfterMs, stopped }: LeftoverRules,
  events: LeftoverEvents,
): Promise<Outlasted> {
  const doomed = () => (stopped.aborted ? [] : tree.living().filter(isDoomed));
  for (let nameAt = 0; ; ) {
    await stopTree(doomed, killAfterMs);
    const left = tree.living();
    if (left.length === 0 || stopped.aborted) return { byItself: false, left };
    if (performance.now() >= nameAt) {
      events.remaining(
        left,
        left.every((each) => !isDoomed(each)),
      );
      nameAt = performance.now() + nameEveryMs;
    }
    await sleepUnlessAborted(longestLookMs, stopped);
  }
}
