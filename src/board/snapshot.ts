import { createHash } from "node:crypto";
import { basename } from "node:path";
import { nextCommand } from "../grid/next-command.ts";
import type { Plan } from "../grid/plan.ts";
import type { RowState } from "../grid/row-state.ts";
import { lastLines } from "../work/row-log.ts";
import { type BoardRow, boardRow, commandFor } from "./board-row.ts";
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
  /** As the call named it; null: it named none. */
  readonly gridFile: string | null;
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
  readonly gridFile: string | null;
  readonly isMade: boolean;
  readonly names: readonly string[];
  readonly problems: readonly string[];
  readonly lately: Lately;
  readonly atMs: number;
  readonly tookMs: number;
}

/** A grid of which everything fails is not read log by log at each scan. */
const mostLogs = 100;
const [mostLines, longestLine] = [5, 300];

export function makeSnapshot(scan: Scan): Snapshot {
  const { plan, gridFile, isMade, names, problems, lately, atMs, tookMs } = scan;
  let logs = 0;
  const linesOf = (log: string) => {
    logs += 1;
    return logs > mostLogs ? [] : lastLines(log, mostLines).map((line) => line.slice(0, longestLine));
  };
  const rows = plan.rows.map((row, index) => boardRow(row, index, { names, gridFile, linesOf }));
  const hash = createHash("sha256");
  for (const { name, state, who, where, sinceMs, step, of, why, evidence, lastLines } of rows)
    hash.update(JSON.stringify([name, state, who, where, sinceMs, step, of, why, evidence, lastLines]));
  hash.update(JSON.stringify([isMade, problems, lately]));
  return {
    plan,
    isMade,
    rows,
    counts: plan.counts,
    names,
    next: nextCommand(plan.rows, gridFile),
    gridFile,
    problems,
    lately,
    atMs,
    tookMs,
    version: hash.digest("hex").slice(0, 16),
  };
}

/** The same without users, hosts and paths, for places where anybody can look. */
export function withoutNames(snapshot: Snapshot): Snapshot {
  const gridFile = snapshot.gridFile === null ? null : basename(snapshot.gridFile);
  const rows = snapshot.rows.map((row, index): BoardRow => {
    const planned = snapshot.plan.rows[index];
    const command = planned === undefined ? null : commandFor(planned, gridFile);
    return { ...row, who: null, where: null, why: plainWhy(row), evidence: [], lastLines: [], log: null, command };
  });
  const lately = { ...snapshot.lately, runs: snapshot.lately.runs.map((run) => ({ ...run, who: null })) };
  return {
    ...snapshot,
    rows,
    lately,
    gridFile,
    next: nextCommand(snapshot.plan.rows, gridFile),
    problems: snapshot.problems.length === 0 ? [] : ["not everything could be looked at"],
  };
}

/** A reason may quote a path, a host or whatever somebody wrote into a record. */
function plainWhy({ state, why }: BoardRow): string {
  if (state === "blocked") return "what it needs is not there";
  if (state === "unknown") return "nobody can tell whether it is being trained";
  return state === "stale" || state === "failed" || state === "done" || state === "free" ? why : "";
}
