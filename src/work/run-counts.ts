import type { Row } from "../grid/grid.ts";
import { type EndedRun, isQuickFailure } from "./ended-runs.ts";
import type { Rest } from "./remaining-rows.ts";
import type { RowRun, RunEnd, StopReason, WorkRequest, WorkResult } from "./work-request.ts";

/** So many runs in a row that fail quickly, on different rows, stop a worker. */
export const seriesLength = 3;
/** So many rows in a row that could not be started or looked at: the fault is not in the row. */
const mostProblems = 3;
/** So many in a row without an end of its own count as a failure: docs/work.md. */
const mostInterruptions = 3;

/** What one more run means. */
interface Counted {
  /** For its row. */
  readonly outcome: "done" | "again" | Rest;
  /** For the worker; null: it goes on. */
  readonly stop: StopReason | null;
}

/** The runs of one worker: what becomes of each row by them, and when the worker has to stop. */
export class RunCounts {
  readonly #request: Pick<WorkRequest, "maxAttempts" | "endedRuns">;
  readonly #failed = new Map<string, number>();
  readonly #interrupted = new Map<string, number>();
  /** Those whose last run was interrupted. */
  readonly #halfWay = new Set<string>();
  readonly #problems = new Map<string, string>();
  #series: EndedRun[] = [];
  #problemsInARow = 0;
  #trained = 0;
  /** Exit code of the last command that ran; null: none has. */
  lastCode: number | null = null;

  constructor(request: Pick<WorkRequest, "maxAttempts" | "endedRuns">) {
    this.#request = request;
  }

  get trained(): number {
    return this.#trained;
  }

  /** Runs in a row, on different rows, that failed quickly. */
  get quickFailures(): number {
    return this.#series.length;
  }

  summary(): Pick<WorkResult, "trained" | "failed" | "interrupted" | "lastCode" | "problems"> {
    return {
      trained: this.#trained,
      failed: [...this.#failed].filter(([, count]) => count > 0).map(([name]) => name),
      interrupted: [...this.#halfWay],
      lastCode: this.lastCode,
      problems: [...this.#problems].map(([name, why]) => ({ name, why })),
    };
  }

  /** Why this worker does not try a row once more, whatever others say of it; null: it may. */
  keptFrom(row: Row, name: string): Rest | null {
    if ((this.#failed.get(name) ?? 0) >= this.#request.maxAttempts(row)) return { kind: "failed" };
    const why = this.#problems.get(name);
    return why === undefined ? null : { kind: "problem", why };
  }

  async add(row: Row, { name, seconds }: RowRun, end: RunEnd): Promise<Counted> {
    if (end.kind === "problem") this.#problems.set(name, end.why);
    // One that cannot be looked at now may be later.
    if (end.kind === "problem" || end.kind === "unseen") return this.#problem(end.why);
    this.#problemsInARow = 0;
    this.#halfWay.delete(name);
    switch (end.kind) {
      case "interrupted":
        this.#interruption(name, end.isCounted === true);
        return { outcome: "again", stop: null };
      case "broken command":
        this.lastCode = end.exitCode;
        return { outcome: "again", stop: end };
      default: {
        const well = end.kind === "done";
        const ended = { name, model: row.configuration.model, endedAt: Date.now(), seconds, well };
        await this.#request.endedRuns.add(ended);
        return well ? this.#success(name) : this.#failure(row, ended);
      }
    }
  }

  #problem(why: string): Counted {
    this.#problemsInARow += 1;
    const stop = this.#problemsInARow >= mostProblems ? ({ kind: "environment", why } as const) : null;
    return { outcome: { kind: "problem", why }, stop };
  }

  #interruption(name: string, isCounted: boolean): void {
    this.#halfWay.add(name);
    if (isCounted) return;
    const times = (this.#interrupted.get(name) ?? 0) + 1;
    this.#interrupted.set(name, times);
    if (times >= mostInterruptions) this.#failed.set(name, (this.#failed.get(name) ?? 0) + 1);
  }

  #success(name: string): Counted {
    this.#trained += 1;
    this.#series = [];
    this.#failed.delete(name);
    return { outcome: "done", stop: null };
  }

  #failure(row: Row, ended: EndedRun): Counted {
    const { name } = ended;
    const times = (this.#failed.get(name) ?? 0) + 1;
    this.#failed.set(name, times);
    // The same row again says nothing about the others.
    this.#series = isQuickFailure(ended) ? [...this.#series.filter((each) => each.name !== name), ended] : [];
    const names = this.#series.map((each) => each.name);
    return {
      outcome: times >= this.#request.maxAttempts(row) ? { kind: "failed" } : "again",
      stop: names.length >= seriesLength ? { kind: "failures in a row", names } : null,
    };
  }
}
