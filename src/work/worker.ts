import type { Row } from "../grid/grid.ts";
import { messageOf } from "../model/errors.ts";
import { sleepUnlessAborted } from "../system/clock/sleep.ts";
import { judgeRun, leftUntrained } from "./judge-run.ts";
import type { RowLook } from "./look-at-row.ts";
import { RemainingRows, type Rest } from "./remaining-rows.ts";
import { type RowEnd, RowProcess } from "./row-process.ts";
import { RunCounts, seriesLength } from "./run-counts.ts";
import { fitsInto } from "./time-limit.ts";
import type { RowRun, RunEnd, StopReason, WorkRequest, WorkResult } from "./work-request.ts";
import { isWarning, type WorkSignals, watchSignals } from "./work-signals.ts";

/** A command that has run so long is no typo: until one has, no more than a series' length runs at a time. */
const provenMs = 5000;
const [leastPollMs, mostPollMs, pollPerRefresh] = [1000, 30_000, 50];
const longestPauseMs = 120_000;

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
  readonly #counts: RunCounts;
  /** Rows that have run here. */
  readonly #held = new Set<string>();
  #names: ReadonlySet<string>;
  /** Rows that were taken until now, and those of them that are over. */
  #reserved = 0;
  #over = 0;
  #proven = false;
  #stop: StopReason | null = null;
  #isStale = false;
  #isWaiting = false;
  #passed: NodeJS.Signals | null = null;
  /** From one look at what is left to the next; what the last one took. */
  #pollMs = leastPollMs;
  #lookedMs = 0;
  #wake = new AbortController();

  constructor(request: WorkRequest) {
    this.#request = request;
    this.#counts = new RunCounts(request);
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
      ...this.#counts.summary(),
      stop: this.#stop,
      rest: this.#remaining.apart,
      hasMore: this.#remaining.hasUnseen,
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
    const hasRun = ({ sinceMs }: Running) => now - (sinceMs() ?? now) > provenMs;
    this.#proven ||= this.#counts.trained > 0 || [...this.#running].some(hasRun);
    return this.#proven || this.#busy() + this.#counts.quickFailures < seriesLength;
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
    const { wait, nameOf, tell } = this.#request;
    if (this.#isStale) {
      this.#refresh();
      return true;
    }
    const mayCome = this.#remaining.apart.filter(
      ({ row, rest }) =>
        rest.kind !== "failed" && rest.kind !== "late" && this.#counts.keptFrom(row, nameOf(row)) === null,
    );
    if (this.#busy() === 0 && !(wait && mayCome.length > 0)) return false;
    if (this.#busy() === 0 && !this.#isWaiting) tell.waiting(problemsOf(mayCome, nameOf));
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
    return this.#counts.keptFrom(row, name) ?? this.#request.look(row);
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
        ...(await callOf(row, slot, this.#held.has(name))),
        inheritsOutput,
        onHeld: (_, path) => {
          startedMs = performance.now();
          this.#held.add(name);
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
      await this.#count(row, runOf(), { kind: "problem", why: messageOf(error) });
      return;
    }
    await this.#settle(row, runOf(), end);
    tell.progress(this.#remaining, this.#running.size);
  }

  async #settle(row: Row, run: RowRun, end: RowEnd): Promise<void> {
    const { tell, missingAfterRun } = this.#request;
    const rest = leftUntrained(end);
    if (rest !== null) {
      // It was not trained here, and does not count.
      this.#reserved -= 1;
      this.#over -= 1;
      this.#remaining.settle(row, rest);
      return;
    }
    const judged = await judgeRun(end, this.#passed, (wasStopped) => missingAfterRun(row, wasStopped));
    const { status, messages } = end;
    if (judged.kind !== "problem") {
      this.#isStale = true;
      if (messages.length > 0) tell.said(run.name, messages);
      if (status !== null && status.started !== null) this.#counts.lastCode = status.exitCode;
    }
    await this.#count(row, run, judged);
  }

  async #count(row: Row, run: RowRun, end: RunEnd): Promise<void> {
    this.#request.tell.ended(run, end);
    const { outcome, stop } = await this.#counts.add(row, run, end);
    this.#remaining.settle(row, outcome);
    if (stop !== null) this.#end(stop);
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

function problemsOf(rows: WorkResult["rest"], nameOf: (row: Row) => string): string[] {
  return rows.flatMap(({ row, rest }) => (rest.kind === "problem" ? [`${nameOf(row)}: ${rest.why}`] : []));
}
