import type { Evidence, Verdict } from "./evidence.ts";
import type { LockFacts } from "./lock-facts.ts";

export interface Examined {
  readonly verdict: Verdict;
  readonly evidence: readonly Evidence[];
}

/** Decides from the facts of a lock whether its holder lives. Handed to the locks, which ask nobody themselves. */
export type Examine = (facts: LockFacts) => Promise<Examined>;

/**
 * Whether a lock may be removed, judged anew from its facts as they are under its kernel lock. It says yes to stale locks, and
 * to unknown ones where the user asked for that; never to an active one.
 */
export type MayClear = (facts: LockFacts) => Promise<boolean>;
