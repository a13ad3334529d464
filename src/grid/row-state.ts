import type { LockReport } from "../listing/lock-report.ts";
import type { RunEnds } from "../model/run-ends.ts";

/** What a row is in, the first that holds in this order. */
export const rowStates = ["running", "unknown", "done", "queued", "blocked", "failed", "stale", "free"] as const;
export type RowState = (typeof rowStates)[number];

/** How the runs of a configuration ended until now, as its owner record says. */
export interface RowEnds extends Pick<RunEnds, "lastEnd" | "seconds"> {
  /** Runs that failed since the last success. */
  readonly attempts: number;
  /** Runs that were stopped from outside since then. */
  readonly interruptions: number;
  /** Exit code of the last run; null: none has ended, or it is not known. */
  readonly lastExit: number | null;
  /** Generation of the last run; null: there was none, or it is not known. */
  readonly generation: number | null;
}

/** A submission that covers a row. */
export interface Queued {
  readonly user: string;
  /** The job's number; the submission's own name where the scheduler's answer never came. `--forget` takes both. */
  readonly job: string;
  /** Milliseconds since the epoch. */
  readonly submittedAt: number;
  /**
   * `submission`: whether the scheduler has taken it is not known; `answer`: its scheduler does not say how it is; null: it waits.
   */
  readonly doubt: "submission" | "answer" | null;
}

/** What was found out about one row. */
export interface RowFacts {
  readonly locks: readonly LockReport[];
  /** Why the row cannot be looked at; null: it can. */
  readonly problem: string | null;
  /** The file that shows it to be done; null: none does. */
  readonly doneBy: string | null;
  readonly queued: Queued | null;
  /** What it needs and is not there; null: nothing. */
  readonly missing: string | null;
  readonly ends: RowEnds;
  readonly maxAttempts: number;
}

export const noEnds: RowEnds = {
  attempts: 0,
  interruptions: 0,
  lastExit: null,
  lastEnd: null,
  seconds: null,
  generation: null,
};

/**
 * The state of a row. Pure. A lock that can be judged neither way, and a row that cannot be looked at, are never done, failed
 * or free: a missing answer is no answer.
 */
export function stateOf({ locks, problem, doneBy, queued, missing, ends, maxAttempts }: RowFacts): RowState {
  const has = (status: LockReport["verdict"]["status"]) => locks.some(({ verdict }) => verdict.status === status);
  if (has("active")) return "running";
  if (problem !== null || has("unknown") || has("unverified")) return "unknown";
  if (doneBy !== null) return "done";
  if (queued !== null) return "queued";
  if (missing !== null) return "blocked";
  if (ends.attempts >= maxAttempts) return "failed";
  return has("stale") ? "stale" : "free";
}

export function countStates(states: readonly RowState[]): Record<RowState, number> {
  const counts = Object.fromEntries(rowStates.map((state) => [state, 0])) as Record<RowState, number>;
  for (const state of states) counts[state] += 1;
  return counts;
}
