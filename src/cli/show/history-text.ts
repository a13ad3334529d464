import { withStage } from "../../grid/row-name.ts";
import type { HistoryRun, SubmittedArray } from "../../history/runs.ts";
import { durationText } from "../../model/durations.ts";
import { printable } from "../../model/printable.ts";
import { localDateTime } from "../../system/clock/local-time.ts";
import { wrapped } from "./wrapped.ts";

/** A run with the name of its user. */
export interface ShownRun extends Omit<HistoryRun, "cleared"> {
  readonly user: string;
  /** What became of its lock, where it said nothing itself; null: no more than its state says. */
  readonly fate: string | null;
}

/** `nameOf`: of a user id. */
export function shownRun({ cleared, ...run }: HistoryRun, nameOf: (uid: number) => string): ShownRun {
  const user = nameOf(run.uid);
  if (cleared === undefined) return { ...run, user, fate: null };
  const { uid, atMs, label } = cleared;
  const doubt = label.startsWith("STALE") ? "" : ` (${label})`;
  const fate = `killed or lost, cleared by ${nameOf(uid)} at ${dateText(atMs) ?? "an unknown time"}${doubt}`;
  return { ...run, user, fate, evidence: [...run.evidence, fate] };
}

type Cell = string | number | null;

/** What can be shown of a run; `raw` where another form is for people. */
const fields: Readonly<
  Record<string, { readonly of: (run: ShownRun) => Cell; readonly raw?: (run: ShownRun) => Cell }>
> = {
  started: { of: (run) => dateText(run.startedMs), raw: (run) => isoText(run.startedMs) },
  ended: { of: (run) => dateText(run.endedMs), raw: (run) => isoText(run.endedMs) },
  elapsed: { of: ({ seconds }) => (seconds === null ? null : durationText(seconds * 1000)), raw: (run) => run.seconds },
  user: { of: (run) => run.user },
  name: { of: shownName, raw: (run) => run.name },
  stage: { of: (run) => run.stage },
  host: { of: (run) => run.host },
  pid: { of: (run) => run.pid },
  job: { of: (run) => run.job },
  gpus: { of: (run) => run.gpus },
  generation: { of: (run) => run.generation },
  attempt: { of: (run) => run.attempt },
  state: { of: (run) => run.state },
  exit: { of: (run) => run.exit },
  checkpoint: { of: (run) => run.checkpoint },
  command: { of: ({ command }) => command?.join(" ") ?? null },
  evidence: { of: ({ evidence }) => (evidence.length === 0 ? null : evidence.join("; ")) },
};

export const historyFields = Object.keys(fields);
export const usualFields = ["started", "user", "name", "host", "job", "elapsed", "state", "exit"];

/** The text of a hundred thousand runs is made for so many at a time. */
const runsAtOnce = 5000;

function* inPieces<T>(items: readonly T[], lineOf: (item: T) => string): Generator<string> {
  for (let at = 0; at < items.length; at += runsAtOnce)
    yield items
      .slice(at, at + runsAtOnce)
      .map(lineOf)
      .join("");
}

/** A line a run, each column as wide as its widest cell. */
function* historyTable(runs: readonly ShownRun[], chosen: readonly string[]): Generator<string> {
  if (runs.length === 0) return;
  const cellsOf = chosen.map((name) => fields[name]?.of ?? (() => null));
  const rows = [chosen.map((name) => name.toUpperCase()), ...runs.map((run) => cellsOf.map((of) => shown(of(run))))];
  const widths = chosen.map((_, column) => rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0));
  const lineOf = (row: readonly string[]) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("  ");
  yield* inPieces(rows, (row) => `${lineOf(row).trimEnd()}\n`);
}

/** The same for a terminal: where the table is too wide for it, a run has lines of its own. Names are never cut. */
export function* historyLines(
  runs: readonly ShownRun[],
  chosen: readonly string[],
  columns: number | null,
): Generator<string> {
  const table = historyTable(runs, chosen);
  if (columns === null) {
    yield* table;
    return;
  }
  const pieces = [...table];
  if (pieces.every((piece) => piece.split("\n").every((line) => line.length <= columns))) {
    yield* pieces;
    return;
  }
  yield* inPieces(runs, (run) => {
    const evidence = chosen.includes("evidence") ? run.evidence.map((each) => `    ${printable(each)}`) : [];
    const lines = [`  ${runLine(run)}`, ...evidence].map((line) => `${wrapped(line, columns)}\n`);
    return `${printable(shownName(run))}\n${lines.join("")}`;
  });
}

/** Cells between tabs, with a header: numbers and times as programs read them. */
export function* historyTsv(runs: readonly ShownRun[], chosen: readonly string[]): Generator<string> {
  yield `${chosen.join("\t")}\n`;
  yield* inPieces(runs, (run) => {
    const cells = chosen.map((name) => {
      const field = fields[name];
      return printable(String((field?.raw ?? field?.of)?.(run) ?? "")).replaceAll("\t", "\\t");
    });
    return `${cells.join("\t")}\n`;
  });
}

/** Stages of a configuration have one name. */
function shownName({ name, stage }: ShownRun): string {
  return withStage(name, { stage });
}

/** A run in one line, for whoever has its name before them. */
export function runLine(run: ShownRun): string {
  const { startedMs, endedMs, state, exit, seconds, generation, user, job, host, fate } = run;
  const ended = fate === null ? state : `${state}, ${fate}`;
  const end = state === "no-end" ? "no end is noted" : `${ended}${exit === null ? "" : `, exit ${exit}`}`;
  const took = seconds === null ? "" : `, ${durationText(seconds * 1000)}`;
  const who = [user, job === null ? null : `job ${job}`, host === null ? null : `on ${host}`]
    .filter((text) => text !== null)
    .join(" ");
  const nth = generation === null ? "" : `generation ${generation}, `;
  return printable(`${dateText(startedMs ?? endedMs) ?? "at an unknown time"}  ${end}${took} (${nth}${who})`);
}

export function runJson({ startedMs, endedMs, fate: _, ...run }: ShownRun): unknown {
  const { name, stage, generation, state, ...rest } = run;
  return {
    name,
    ...(stage === null ? {} : { stage }),
    generation,
    state,
    started: isoText(startedMs),
    ended: isoText(endedMs),
    ...rest,
  };
}

type ShownArray = SubmittedArray & { readonly user: string };

/** What was submitted, in one line. */
export function arrayLine({ atMs, rows, job, name, user }: ShownArray): string {
  const count = rows === null ? "" : `${rows === 1 ? "1 row" : `${rows} rows`} `;
  return `${printable(`${dateText(atMs)}  submitted ${count}as job ${job}, ${name}, by ${user}`)}\n`;
}

export function arrayJson({ atMs, rows, job, name, user }: ShownArray): unknown {
  return { at: isoText(atMs), job, name, rows, user };
}

function shown(cell: Cell): string {
  if (cell === null) return "-";
  if (typeof cell === "number") return String(cell);
  return printable(cell);
}

function isoText(ms: number | null): string | null {
  return ms === null || !isDate(ms) ? null : new Date(ms).toISOString();
}

function dateText(ms: number | null): string | null {
  if (ms === null || !isDate(ms)) return null;
  return localDateTime(ms);
}

function isDate(ms: number): boolean {
  return Math.abs(ms) <= 8.64e15;
}
