import { isTrainable, type PlannedRow } from "./plan.ts";

/** How much training is left, by how long it has taken until now. */
export interface Estimate {
  /** The time of all rows, one after the other. */
  readonly seconds: number;
  /** How many rows it is for. */
  readonly rows: number;
  /** Rows of models of which too few have finished. */
  readonly unknown: number;
  /** Finished runs that it comes from. */
  readonly from: number;
}

/** A model's own median counts from so many finished runs on; that of all models before. */
const fewest = 3;

/** What is left of a grid by the medians of its finished runs. Pure. Null: too few have finished, or nothing is left. */
export function estimateOf(rows: readonly PlannedRow[], nowMs: number): Estimate | null {
  const byModel = new Map<string, number[]>();
  for (const { configuration, ends } of rows) {
    if (ends.lastEnd !== "done" || ends.seconds === null) continue;
    const known = byModel.get(configuration.model);
    if (known === undefined) byModel.set(configuration.model, [ends.seconds]);
    else known.push(ends.seconds);
  }
  const all = [...byModel.values()].flat();
  const overall = medianOf(all);
  const medians = new Map([...byModel].map(([model, seconds]) => [model, medianOf(seconds) ?? overall]));
  let [seconds, counted, unknown] = [0, 0, 0];
  for (const row of rows) {
    if (!isLeft(row)) continue;
    const median = medians.get(row.configuration.model) ?? overall;
    if (median === null) unknown += 1;
    else {
      seconds += Math.max(0, median - elapsedSeconds(row, nowMs));
      counted += 1;
    }
  }
  return counted === 0 ? null : { seconds, rows: counted, unknown, from: all.length };
}

function isLeft(row: PlannedRow): boolean {
  return row.state === "running" || row.state === "queued" || isTrainable(row);
}

function elapsedSeconds({ state, lock }: PlannedRow, nowMs: number): number {
  const startedMs = state === "running" && lock?.startedAt != null ? Date.parse(lock.startedAt) : Number.NaN;
  return startedMs <= nowMs ? (nowMs - startedMs) / 1000 : 0;
}

/** Null where there are too few. */
function medianOf(values: readonly number[]): number | null {
  if (values.length < fewest) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[middle]];
  return (low + high) / 2;
}
