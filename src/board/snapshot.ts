import { createHash } from "node:crypto";
import { nextCommand } from "../grid/next-command.ts";
import type { Plan } from "../grid/plan.ts";
import type { RowState } from "../grid/row-state.ts";
import { type BoardRow, boardRow } from "./board-row.ts";
import type { Lately } from "./lately.ts";

/** What one scan found, as all viewers see it. */
export interface Snapshot {
  readonly plan: Plan;
  /** False: no rows could be read until now. That none are shown says nothing. */
  readonly isMade: boolean;
  readonly rows: readonly BoardRow[];
  readonly counts: Readonly<Record<RowState, number>>;
  /** The names of the fields, in the order of each row's `fields`. */
  readonly names: readonly string[];
  readonly next: string | null;
  /** What could not be looked at beside the rows, in words. */
  readonly problems: readonly string[];
  readonly lately: Lately;
  readonly atMs: number;
  readonly tookMs: number;
  /** Another one wherever a page would look different, but for the time. */
  readonly version: string;
}

export interface Scan {
  readonly plan: Plan;
  readonly isMade: boolean;
  readonly names: readonly string[];
  readonly problems: readonly string[];
  readonly lately: Lately;
  readonly atMs: number;
  readonly tookMs: number;
}

export function makeSnapshot({ plan, isMade, names, problems, lately, atMs, tookMs }: Scan): Snapshot {
  const rows = plan.rows.map((row, index) => boardRow(row, index, names));
  const hash = createHash("sha256");
  for (const { name, state, who, where, sinceMs, step, of, why, evidence } of rows)
    hash.update(JSON.stringify([name, state, who, where, sinceMs, step, of, why, evidence]));
  hash.update(JSON.stringify([isMade, problems, lately]));
  return {
    plan,
    isMade,
    rows,
    counts: plan.counts,
    names,
    next: nextCommand(plan.rows),
    problems,
    lately,
    atMs,
    tookMs,
    version: hash.digest("hex").slice(0, 16),
  };
}

/** The same without users, hosts and paths, for places where anybody can look. */
export function withoutNames(snapshot: Snapshot): Snapshot {
  const rows = snapshot.rows.map((row) => ({ ...row, who: null, where: null, why: plainWhy(row), evidence: [] }));
  const lately = { ...snapshot.lately, runs: snapshot.lately.runs.map((run) => ({ ...run, who: null })) };
  return {
    ...snapshot,
    rows,
    lately,
    problems: snapshot.problems.length === 0 ? [] : ["not everything could be looked at"],
  };
}

/** A reason may quote a path, a host or whatever somebody wrote into a record. */
function plainWhy({ state, why }: BoardRow): string {
  if (state === "blocked") return "what it needs is not there";
  if (state === "unknown") return "nobody can tell whether it is being trained";
  return state === "stale" || state === "failed" || state === "done" || state === "free" ? why : "";
}
