import type { Row } from "../grid/grid.ts";
import { messageOf } from "../model/errors.ts";
import type { RunStatus } from "../run/run-status.ts";
import { sleepUnlessAborted } from "../system/clock/sleep.ts";
import { signalNumber } from "../system/processes/signals.ts";
import { type EndedRun, type EndedRuns, isQuickFailure } from "./ended-runs.ts";
import type { ChosenRows } from "./grid-on-disk.ts";
import type { RowLook } from "./look-at-row.ts";
import { RemainingRows, type Rest } from "./remaining-rows.ts";
import { type RowCall, type RowEnd, RowProcess } from "./row-process.ts";
import { fitsInto } from "./time-limit.ts";
import { isWarning, type WorkSignals, watchSignals } from "./work-signals.ts";

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
  | { readonly kind: "failed"; readonly exitCode: number; readonly signal: string | null }
  | { readonly kind: "interrupted"; readonly why: string }
  | { readonly kind: "broken command"; readonly exitCode: number }
  | { readonly kind: "problem"; readonly why: string };

export interface WorkEvents {
  started(run: RowRun): void;
  ended(run: RowRun, end: RunEnd): void;
  /** Messages of a row's wrapper: a lost lock, processes left behind. */
  said(name: string, messages: readonly string[]): void;
  warning(text: string): void;
  stopping(why: StopReason): void;
  waiting(): void;
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
  /** Whether a run that ended with exit code 0 has done what it was for. */
  readonly isDone: (row: Row) => Promise<boolean>;
  /** The options and the command of a row's wrapper. Throws a UsageError where its values do not fit into the command. */
  readonly callOf: (row: Row, slot: number) => Promise<Pick<RowCall, "args" | "variables">>;
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
  readonly stop: StopReason | null;
  /** Exit code of the last command that ran; null: none has. */
  readonly lastCode: number | null;
  /** What is left, with the reason. */
  readonly rest: readonly { readonly row: Row; readonly rest: Rest }[];
  /** Whether rows are left that nothing but the worker's own limits kept from being trained. */
  readonly hasMore: boolean;
  readonly problems: readonly string[];
}

/** So many runs in a row that fail quickly, on different rows, stop a worker. */
const seriesLength = 3;
/** A command that has run so long is no typo: until one has, no more than a series' length runs at a time. */
const provenMs = 5000;
const [leastPollMs, mostPollMs, pollPerRefresh] = [1000, 30_000, 50];
const longestPauseMs = 120_000;
/** So many rows in a row whose wrapper could not do its part: the fault is not in the row. */
const mostProblems = 3;
/** So many in a row without an end of its own count as a failure: docs/work.md. */
const mostInterruptions = 3;

/** What is left of a row whose wrapper found, under the lock, that others have been there since the look at it. */
const notTrained: Partial<Record<RunStatus["reason"], "done" | Rest>> = {
  locked: { kind: "held" },
  done: "done",
  "ended well": "done",
  "used up": { kind: "failed" },
};

/**
 * Milliseconds from one look at what is left to the next: many times what the last one took, so that a large grid is no load.
 * But on a busy machine a look may take a minute, and many times that is an hour in which nothing is trained.
 */
export function pauseBeforeLook(pollMs: number, lookedMs: number): number {
  return Math.max(pollMs, Math.min(longestPauseMs, pollPerRefresh * lookedMs));
}

interface Running {
  readonly process: RowProcess;
  /** When its command was about to start. Null: its wrapper is not so far, which takes seconds on a busy machine. */
  readonly sinceMs: () => number | null;
}

/** Trains one row after the other, or several at a time, until nothing is left that can be trained. */
export class Worker {
  readonly #request: WorkRequest;
  readonly #remaining: RemainingRows;
  readonly #running = new Set<Running>();
  readonly #failed = new Map<string, number>();
  readonly #interrupted = new Map<string, number>();
  readonly #problems = new Map<string, string>();
  readonly #stopped = new AbortController();
  #names: ReadonlySet<string>;
  #series: EndedRun[] = [];
  #problemsInARow = 0;
  /** Rows that were taken until now, and those of them that are over. */
  #reserved = 0;
  #over = 0;
  #trained = 0;
  #proven = false;
  #stop: StopReason | null = null;
  #lastCode: number | null = null;
  #isStale = false;
  #isWaiting = false;
  #passed: NodeJS.Signals | null = null;
  /** From one look at what is left to the next; what the last one took. */
  #pollMs = leastPollMs;
  #lookedMs = 0;
  #wake = new AbortController();

  constructor(request: WorkRequest) {
    this.#request = request;
    this.#names = new Set(request.rows.all.map(request.nameOf));
    this.#remaining = new RemainingRows(request.rows.chosen, {
      order: request.order,
      keyOf: request.nameOf,
      isQueued: request.isQueued,
      look: (row) => this.#look(row),
    });
  }

  async work(): Promise<WorkResult> {
    const { slots, endedRuns, tell } = this.#request;
    const broken = endedRuns.brokenSeries((name) => this.#names.has(name));
    if (broken !== null) this.#end({ kind: "broken grid", runs: broken });
    const signals = watchSignals(this.#signals());
    tell.progress(this.#remaining, 0);
    try {
      await Promise.all(Array.from({ length: slots }, (_, slot) => this.#lane(slot)));
    } finally {
      signals.dispose();
    }
    return {
      trained: this.#trained,
      failed: [...this.#failed].filter(([, count]) => count > 0).map(([name]) => name),
      stop: this.#stop,
      lastCode: this.#lastCode,
      rest: this.#remaining.apart,
      hasMore: this.#remaining.hasUnseen,
      problems: [...this.#problems].map(([name, why]) => `${name}: ${why}`),
    };
  }

  async #lane(slot: number): Promise<void> {
    for (;;) {
      const row = await this.#nextRow();
      if (row === null) return;
      await this.#train(row, slot);
      this.#over += 1;
      this.#changed();
    }
  }

  /** Reserves a row and the right to train it; null: this lane is over. */
  async #nextRow(): Promise<Row | null> {
    const { most } = this.#request;
    for (;;) {
      if (this.#stop !== null) return null;
      if (this.#reserved >= most) return null;
      if (!this.#maySetOut()) {
        await this.#pause(provenMs);
        continue;
      }
      this.#reserved += 1;
      const row = await this.#takeRow();
      if (row !== null) return row;
      this.#reserved -= 1;
      if (!(await this.#waitForMore())) return null;
    }
  }

  /** Until a command has shown that it runs at all, no more of them are at risk than a typo may cost. */
  #maySetOut(): boolean {
    const now = performance.now();
    this.#proven ||= [...this.#running].some(({ sinceMs }) => now - (sinceMs() ?? now) > provenMs);
    return this.#proven || this.#busy() + this.#series.length < seriesLength;
  }

  /** Rows that are being started or run. */
  #busy(): number {
    return this.#reserved - this.#over;
  }

  async #takeRow(): Promise<Row | null> {
    const { endedRuns } = this.#request;
    await this.#reread();
    const broken = endedRuns.brokenSeries((name) => this.#names.has(name));
    if (broken !== null) this.#end({ kind: "broken grid", runs: broken });
    for (;;) {
      const beganMs = performance.now();
      const row = this.#stop === null ? await this.#remaining.take() : null;
      this.#lookedMs += performance.now() - beganMs;
      if (row === null) return null;
      const wait = this.#stop === null ? await this.#timeProblem(row) : null;
      if (this.#stop === null && wait === null) return row;
      this.#remaining.settle(row, wait ?? "again");
    }
  }

  async #timeProblem(row: Row): Promise<Rest | null> {
    const { endsAt, endedRuns, hasCheckpoint } = this.#request;
    if (endsAt === null) return null;
    const leftMs = endsAt - Date.now();
    if (leftMs <= 0) this.#end({ kind: "time" });
    const usual = endedRuns.usualSeconds(row.configuration.model);
    if (fitsInto(leftMs, usual, false)) return null;
    return fitsInto(leftMs, usual, await hasCheckpoint(row)) ? null : { kind: "late" };
  }

  /** Nothing can be trained now: waits where more may come. False: nothing more comes. */
  async #waitForMore(): Promise<boolean> {
    if (this.#stop !== null) return false;
    const { wait, tell } = this.#request;
    if (this.#isStale) {
      this.#refresh();
      return true;
    }
    const waits = this.#remaining.apart.some(({ rest }) => rest.kind !== "failed" && rest.kind !== "late");
    if (this.#busy() === 0 && !(wait && waits)) return false;
    if (this.#busy() === 0 && !this.#isWaiting) tell.waiting();
    this.#isWaiting = this.#busy() === 0;
    if (await this.#pause(pauseBeforeLook(this.#pollMs, this.#lookedMs))) return true;
    this.#refresh();
    this.#pollMs = Math.min(mostPollMs, this.#pollMs * 2);
    return true;
  }

  #refresh(): void {
    this.#request.forget();
    this.#remaining.refresh();
    this.#isStale = false;
    this.#lookedMs = 0;
  }

  async #reread(): Promise<void> {
    const rows = await this.#request.reread();
    if (rows === null) return;
    this.#names = new Set(rows.all.map(this.#request.nameOf));
    this.#remaining.replace(rows.chosen);
  }

  async #look(row: Row): Promise<RowLook | Rest> {
    const name = this.#request.nameOf(row);
    if ((this.#failed.get(name) ?? 0) >= this.#request.maxAttempts(row)) return { kind: "failed" };
    const why = this.#problems.get(name);
    return why === undefined ? this.#request.look(row) : { kind: "problem", why };
  }

  async #train(row: Row, slot: number): Promise<void> {
    const { nameOf, callOf, inheritsOutput, tell } = this.#request;
    const name = nameOf(row);
    let startedMs: number | null = null;
    let log: string | null = null;
    const runOf = (): RowRun => ({
      name,
      slot,
      log,
      seconds: (performance.now() - (startedMs ?? performance.now())) / 1000,
    });
    let end: RowEnd;
    try {
      const process = new RowProcess({
        ...(await callOf(row, slot)),
        inheritsOutput,
        onHeld: (_, path) => {
          startedMs = performance.now();
          log = path;
          tell.started(runOf());
          tell.progress(this.#remaining, this.#running.size);
        },
      });
      const running: Running = { process, sinceMs: () => startedMs };
      this.#running.add(running);
      end = await process.ended;
      this.#running.delete(running);
    } catch (error) {
      this.#onProblem(row, messageOf(error), runOf());
      return;
    }
    const run = runOf();
    await this.#settle(row, run, end);
    tell.progress(this.#remaining, this.#running.size);
  }

  async #settle(row: Row, run: RowRun, { status, ending, messages }: RowEnd): Promise<void> {
    const { tell } = this.#request;
    const rest = status === null ? undefined : notTrained[status.reason];
    if (rest !== undefined) {
      // It was not trained here, and does not count.
      this.#reserved -= 1;
      this.#over -= 1;
      this.#remaining.settle(row, rest);
      return;
    }
    if (status?.reason === "error" || (status === null && ending.kind === "exited")) {
      const said = messages[0]?.replace(/^trainlock: /, "");
      this.#onProblem(row, status?.detail ?? said ?? "its wrapper failed", run);
      return;
    }
    this.#problemsInARow = 0;
    this.#isStale = true;
    if (messages.length > 0) tell.said(run.name, messages);
    const end = await this.#judge(row, status, ending);
    if (status !== null && status.started !== null) this.#lastCode = status.exitCode;
    if (end.kind === "broken command") this.#lastCode = end.exitCode;
    tell.ended(run, end);
    await this.#count(row, run, end);
  }

  /** How a run ended, by its wrapper's report and by what has come of it. */
  async #judge(row: Row, status: RowEnd["status"], ending: RowEnd["ending"]): Promise<RunEnd> {
    if (status === null) {
      // A wrapper that has come so far as to start something takes signals, and reports.
      if (this.#passed !== null && ending.kind === "signalled" && ending.signal === signalNumber(this.#passed))
        return { kind: "interrupted", why: `${this.#passed} came before it started` };
      const how = ending.kind === "signalled" ? `signal ${ending.signal}` : `exit ${ending.code}`;
      return { kind: "interrupted", why: `its wrapper ended before it (${how})` };
    }
    const { exitCode, signal, reason, detail } = status;
    if (reason === "lost")
      return { kind: "interrupted", why: `the lock was lost${detail === null ? "" : `: ${detail}`}` };
    if (reason === "interrupted") return { kind: "interrupted", why: `${signal ?? "a signal"} came before it started` };
    const isOver = exitCode === 0 && (await this.#request.isDone(row));
    if (isOver) return { kind: "done" };
    if (this.#passed !== null) return { kind: "interrupted", why: `${this.#passed} was passed on` };
    if (exitCode === 126 || exitCode === 127) return { kind: "broken command", exitCode };
    return { kind: "failed", exitCode, signal };
  }

  async #count(row: Row, run: RowRun, end: RunEnd): Promise<void> {
    const { name, seconds } = run;
    const { endedRuns, maxAttempts } = this.#request;
    if (end.kind === "interrupted") {
      const times = (this.#interrupted.get(name) ?? 0) + 1;
      this.#interrupted.set(name, times);
      if (times >= mostInterruptions) this.#failed.set(name, (this.#failed.get(name) ?? 0) + 1);
      this.#remaining.settle(row, "again");
      return;
    }
    if (end.kind === "broken command") {
      this.#remaining.settle(row, "again");
      this.#end({ kind: "broken command", exitCode: end.exitCode });
      return;
    }
    const well = end.kind === "done";
    const ended: EndedRun = { name, model: row.configuration.model, endedAt: Date.now(), seconds, well };
    await endedRuns.add(ended);
    if (well) {
      this.#trained += 1;
      this.#proven = true;
      this.#series = [];
      this.#failed.delete(name);
      this.#remaining.settle(row, "done");
      return;
    }
    const times = (this.#failed.get(name) ?? 0) + 1;
    this.#failed.set(name, times);
    this.#remaining.settle(row, times >= maxAttempts(row) ? { kind: "failed" } : "again");
    // The same row again says nothing about the others.
    this.#series = isQuickFailure(ended) ? [...this.#series.filter((each) => each.name !== name), ended] : [];
    if (this.#series.length >= seriesLength)
      this.#end({ kind: "failures in a row", names: this.#series.map((each) => each.name) });
  }

  #onProblem(row: Row, why: string, run: RowRun): void {
    this.#problems.set(run.name, why);
    this.#remaining.settle(row, { kind: "problem", why });
    this.#request.tell.ended(run, { kind: "problem", why });
    this.#problemsInARow += 1;
    if (this.#problemsInARow >= mostProblems) this.#end({ kind: "environment", why });
  }

  #signals(): WorkSignals {
    return {
      pass: (signal, how) => {
        if (how !== "only pass") {
          this.#end({ kind: "signal", signal });
          if (this.#passed === null || isWarning(this.#passed)) this.#passed = signal;
        }
        for (const { process } of this.#running) {
          if (how === "kill") process.killTree();
          else process.signal(signal);
        }
      },
    };
  }

  #end(why: StopReason): void {
    // After a scheduler's warning comes what it has warned of.
    const wasWarned = this.#stop?.kind === "signal" && isWarning(this.#stop.signal);
    const ends = why.kind === "signal" && !isWarning(why.signal);
    if (this.#stop !== null && !(wasWarned && ends)) return;
    this.#stop = why;
    this.#stopped.abort();
    this.#request.tell.stopping(why);
    this.#changed();
  }

  #changed(): void {
    this.#wake.abort();
    this.#wake = new AbortController();
    this.#pollMs = leastPollMs;
  }

  /** Whether something changed before the time was over. */
  async #pause(ms: number): Promise<boolean> {
    const { signal } = this.#wake;
    await sleepUnlessAborted(ms, signal);
    return signal.aborted;
  }
}
