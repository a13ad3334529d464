import {
  finite,
  integer,
  natural,
  objectOf,
  oneOf,
  orElse,
  orNull,
  plain,
  such,
  text,
  type ValuesOf,
  wrong,
} from "./record-fields.ts";

/** How a run ended. See docs/history.md. */
export const ends = ["done", "failed", "interrupted"] as const;
export type End = (typeof ends)[number];

const count = orElse(natural, 0);

/** How the runs of a configuration have ended until now, as its owner record has it. */
export const endFields = {
  /** Runs that failed since the last one that was done. */
  attempts: plain(count),
  /** Runs that were stopped from outside since then. */
  interruptions: plain(count),
  /** Interruptions in a row without a newer checkpoint, as far as they are no attempt yet. */
  fruitless: plain(count),
  /** How the last run ended; null: none has ended. */
  lastEnd: orNull(plain(oneOf(ends))),
  /** As a shell reports it; null: not known. */
  lastExit: orNull(plain(integer)),
  /** How long the last run took; null: not known. */
  seconds: orNull(plain(such(finite, (value) => value >= 0))),
  /** The newest checkpoint when the last run ended, or the present one began, in the weights dir; null: there was none. */
  checkpoint: orNull(plain(text)),
  /** When that was written: some programs write the same file again and again. Local ISO time. */
  checkpointWritten: orNull(plain(text)),
};

export type RunEnds = ValuesOf<typeof endFields>;
export type Checkpoint = Pick<RunEnds, "checkpoint" | "checkpointWritten">;

/** Null: it says nothing of that kind. */
export function readRunEnds(json: unknown): RunEnds | null {
  const found = objectOf(endFields).read(json);
  return found === wrong ? null : found;
}

/** As an owner record has it. */
export function runEndsJson(of: RunEnds): unknown {
  return objectOf(endFields).write(of);
}

export const noRunEnds: RunEnds = {
  attempts: 0,
  interruptions: 0,
  fruitless: 0,
  lastEnd: null,
  lastExit: null,
  seconds: null,
  checkpoint: null,
  checkpointWritten: null,
};

/** This many interruptions in a row without a newer checkpoint are one failed attempt. */
const fruitlessMost = 3;
/** A command that cannot be executed, or is not found, has attempted nothing (126 and 127 of a shell). */
const noAttempt: readonly (number | null)[] = [126, 127];

/** The run that has just ended. */
export interface EndedRun extends Pick<RunEnds, "seconds" | "lastExit"> {
  readonly end: End;
  /** The newest one now. */
  readonly newest: Checkpoint;
}

/** Counts one more run. */
export function afterRun(before: RunEnds, { end, newest, lastExit, seconds }: EndedRun): RunEnds {
  const now = { ...before, ...newest, lastEnd: end, lastExit, seconds };
  switch (end) {
    case "done":
      return { ...now, attempts: 0, interruptions: 0, fruitless: 0 };
    case "failed":
      return { ...now, attempts: before.attempts + (noAttempt.includes(lastExit) ? 0 : 1), fruitless: 0 };
    case "interrupted": {
      const interrupted = { ...now, interruptions: before.interruptions + 1 };
      if (isNewer(newest, before)) return { ...interrupted, fruitless: 0 };
      const fruitless = before.fruitless + 1;
      if (fruitless < fruitlessMost) return { ...interrupted, fruitless };
      return { ...interrupted, attempts: before.attempts + 1, fruitless: 0 };
    }
  }
}

/** A run that was killed with its wrapper: nobody was left to say how. */
export function afterKill(before: RunEnds, newest: Checkpoint): RunEnds {
  return afterRun(before, { end: "interrupted", newest, lastExit: null, seconds: null });
}

function isNewer(newest: Checkpoint, before: Checkpoint): boolean {
  if (newest.checkpoint === null) return false;
  return newest.checkpoint !== before.checkpoint || newest.checkpointWritten !== before.checkpointWritten;
}
