import type { Row } from "../grid/grid.ts";
import type { EndedRun, EndedRuns } from "./ended-runs.ts";
import type { ChosenRows } from "./grid-on-disk.ts";
import type { RowLook } from "./look-at-row.ts";
import type { RemainingRows, Rest } from "./remaining-rows.ts";
import type { RowCall } from "./row-process.ts";

/** A run of a row, for whoever shows it. */
export interface RowRun {
  readonly name: string;
  readonly slot: number;
  /** Null: the output goes where the worker's does, or the run has no claim yet. */
  readonly log: string | null;
  readonly seconds: number;
}

export type RunEnd =
  | { readonly kind: "done" }
  | {
      readonly kind: "failed";
      readonly exitCode: number;
      readonly signal: string | null;
      /** After exit code 0: what it lacks to be done; else null. */
      readonly missing: string | null;
    }
  /** `isCounted`: its owner record counts it, and says when it has failed by that. */
  | { readonly kind: "interrupted"; readonly why: string; readonly isCounted?: true }
  | { readonly kind: "broken command"; readonly exitCode: number }
  /** The command ended with 0, and what shows the row to be done cannot be looked at: neither trained nor failed. */
  | { readonly kind: "unseen"; readonly why: string }
  | { readonly kind: "problem"; readonly why: string };

export interface WorkEvents {
  started(run: RowRun): void;
  ended(run: RowRun, end: RunEnd): void;
  /** Messages of a row's wrapper: a lost lock, processes left behind. */
  said(name: string, messages: readonly string[]): void;
  warning(text: string): void;
  stopping(why: StopReason): void;
  /** For rows that others hold, or that need something. `unseen`: those that cannot be looked at, with the reason. */
  waiting(unseen: readonly string[]): void;
  /** Something about the whole grid has changed. */
  progress(rows: RemainingRows, running: number): void;
}

export type StopReason =
  | { readonly kind: "signal"; readonly signal: NodeJS.Signals }
  | { readonly kind: "broken command"; readonly exitCode: number }
  | { readonly kind: "failures in a row"; readonly names: readonly string[] }
  | { readonly kind: "broken grid"; readonly runs: readonly EndedRun[] }
  | { readonly kind: "environment"; readonly why: string }
  | { readonly kind: "time" };

export interface WorkRequest {
  readonly rows: ChosenRows;
  /** The rows as the grid is now, where that has changed since; null: it has not. */
  readonly reread: () => Promise<ChosenRows | null>;
  readonly nameOf: (row: Row) => string;
  readonly look: (row: Row) => Promise<RowLook>;
  /** What was found out about others' state is asked anew. */
  readonly forget: () => void;
  readonly isQueued: (row: Row) => boolean;
  readonly maxAttempts: (row: Row) => number;
  readonly hasCheckpoint: (row: Row) => Promise<boolean>;
  /**
   * What a run that ended with exit code 0 lacks to be done; null: nothing. `wasStopped`: a signal had come. Rejects where that
   * cannot be looked at.
   */
  readonly missingAfterRun: (row: Row, wasStopped: boolean) => Promise<string | null>;
  /**
   * The options and the command of a row's wrapper; `hasRun`: this worker has run it before. Throws a UsageError where its values
   * do not fit into the command.
   */
  readonly callOf: (row: Row, slot: number, hasRun: boolean) => Promise<Pick<RowCall, "args" | "variables">>;
  readonly slots: number;
  readonly most: number;
  /** Milliseconds since the epoch; null: no limit. */
  readonly endsAt: number | null;
  readonly wait: boolean;
  readonly order: "grid" | "random";
  readonly inheritsOutput: boolean;
  readonly endedRuns: EndedRuns;
  readonly tell: WorkEvents;
}

export interface WorkResult {
  readonly trained: number;
  readonly failed: readonly string[];
  /** Rows whose last run was interrupted. */
  readonly interrupted: readonly string[];
  readonly stop: StopReason | null;
  /** Exit code of the last command that ran; null: none has. */
  readonly lastCode: number | null;
  /** What is left, with the reason. */
  readonly rest: readonly { readonly row: Row; readonly rest: Rest }[];
  /** Whether rows are left that nothing but the worker's own limits kept from being trained. */
  readonly hasMore: boolean;
  /** Those whose wrapper could not do its part, with the reason. */
  readonly problems: readonly { readonly name: string; readonly why: string }[];
}
