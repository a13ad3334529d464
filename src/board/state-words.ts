import type { RowState } from "../grid/row-state.ts";

/** The class of a state in the page's style: one letter, for pages of 1,000 rows. */
export const stateClass: Readonly<Record<RowState, string>> = {
  running: "r",
  unknown: "u",
  done: "d",
  queued: "q",
  blocked: "b",
  failed: "f",
  stale: "s",
  free: "n",
};

/** What a state means, in few words. */
export const stateMeaning: Readonly<Record<RowState, string>> = {
  running: "somebody trains it",
  unknown: "nobody can tell whether it is being trained",
  done: "trained, nobody holds it",
  queued: "submitted",
  blocked: "what it needs is not there",
  failed: "its attempts are used up",
  stale: "a dead lock is left; it can be trained",
  free: "it can be trained",
};
