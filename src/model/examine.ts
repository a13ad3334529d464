import type { Evidence, Verdict } from "./evidence.ts";
import type { LockFacts } from "./lock-facts.ts";

export interface Examined {
  readonly verdict: Verdict;
  readonly evidence: readonly Evidence[];
}

/** Decides from the facts of a lock whether its holder lives. Handed to the locks, which ask nobody themselves. */
export type Examine = (facts: LockFacts) => Promise<Examined>;
