import { basename } from "node:path";
import { estimateOf } from "../../grid/estimate.ts";
import { hasEndedWellWithoutRule, type Plan, type PlannedRow } from "../../grid/plan.ts";
import { withStage } from "../../grid/row-name.ts";
import { type RowState, rowStates } from "../../grid/row-state.ts";
import { durationText } from "../../model/durations.ts";
import { printable } from "../../model/printable.ts";
import { quietMs } from "../../progress/progress.ts";
import { localDateTime, localTime } from "../../system/clock/local-time.ts";
import type { PastOf, ShownPast } from "../shown-past.ts";
import { runLine } from "./history-text.ts";
import type { Paint } from "./paint.ts";
import { wrapped } from "./wrapped.ts";

/** Characters. The columns of a row are made in `planLines`; those of `--tsv` are in plan-data.ts. */
const lineWidth = 80;
const stateWidth = Math.max(...rowStates.map((state) => state.length));
const gap = "  ";

function shownName({ name, configuration }: PlannedRow): string {
  return printable(withStage(name, configuration));
}

/** The column of names of these rows. */
export function nameWidthOf(rows: readonly PlannedRow[]): number {
  const widest = rows.reduce((width, row) => Math.max(width, shownName(row).length), 0);
  return Math.min(widest, lineWidth - stateWidth - 24);
}

/**
 * One line for each row: state, name, detail. With `pastOf` the evidence follows. On a terminal a line is cut after 80
 * characters, but state and name are always whole.
 */
export function planLines(
  rows: readonly PlannedRow[],
  paint: Paint,
  cut: boolean,
  pastOf: PastOf | null,
  nameWidth: number = nameWidthOf(rows),
  nowMs: number = Date.now(),
): string {
  return rows
    .map((row) => {
      const name = shownName(row).padEnd(nameWidth);
      const head = `${row.state.padEnd(stateWidth)}${gap}${name}${gap}`;
      const detail = detailOf(row, nowMs);
      const left = lineWidth - head.length;
      const shown = !cut || detail.length <= left ? detail : left < 8 ? "" : `${detail.slice(0, left - 1)}…`;
      const line = `${paintState(row.state, paint)}${head.slice(row.state.length)}${shown}`.trimEnd();
      return `${line}\n${pastOf === null ? "" : evidenceText(row, pastOf(row), cut ? lineWidth : null)}`;
    })
    .join("");
}

/** How many of its last runs are shown. */
const shownRuns = 3;

/** One line a finding, as `list -v` prints them, where the row trains, how its last runs ended and where its log is. */
function evidenceText({ lock, weightsDir, ends, log }: PlannedRow, { runs }: ShownPast, most: number | null): string {
  const findings = (lock?.evidence ?? []).map(
    ({ says, source, detail }) => `${says.padEnd(7)} ${source}: ${printable(detail)}`,
  );
  const lastRuns = runs.slice(0, shownRuns).map((run) => `run: ${runLine(run)}`);
  // The record says it where no history is kept.
  const lastRun =
    ends.lastEnd === null || lastRuns.length > 0
      ? []
      : [`last run: ${ends.lastEnd}${ends.lastExit === null ? "" : `, exit ${ends.lastExit}`}`];
  return [
    `weights dir: ${printable(weightsDir)}`,
    ...findings,
    ...lastRun,
    ...lastRuns,
    ...(log === null ? [] : [`log: ${printable(log)}`]),
  ]
    .map((line) => `${wrapped(`    ${line}`, most)}\n`)
    .join("");
}

export function paintState(state: RowState, paint: Paint): string {
  if (state === "running") return paint.green(state);
  if (state === "failed" || state === "stale") return paint.red(state);
  return state === "unknown" || state === "blocked" ? paint.yellow(state) : state;
}

/** What is behind the state, in a few words. */
export function detailOf(row: PlannedRow, nowMs: number): string {
  switch (row.state) {
    case "running":
      return [holderOf(row), sinceOf(row, nowMs), progressOf(row), quietOf(row, nowMs)]
        .filter((text) => text !== "")
        .join(", ");
    case "unknown":
      return [
        printable(row.reason ?? afterDash(row.lock?.verdict.label ?? "")),
        ...(row.doneBy === null ? [] : [`its checkpoint ${printable(basename(row.doneBy))} is there`]),
      ].join("; ");
    case "done":
      return `${printable(basename(row.doneBy ?? ""))}${lastExitOf(row)}`;
    case "queued":
      return queuedText(row, nowMs);
    case "blocked":
      return printable(row.reason ?? "");
    case "failed":
      return failureOf(row);
    case "stale":
      return [printable(afterDash(row.lock?.verdict.label ?? "")), progressOf(row)]
        .filter((text) => text !== "")
        .join(", ");
    default:
      if (hasEndedWellWithoutRule(row)) return "last run exit 0, no done rule (--done-when)";
      return [interruptionsOf(row), progressOf(row)].filter((text) => text !== "").join(", ");
  }
}

function lastExitOf({ ends: { lastExit } }: PlannedRow): string {
  return lastExit === null || lastExit === 0 ? "" : ` (last exit ${lastExit})`;
}

/** The reason first: the end may be cut. */
function failureOf({ ends: { attempts, lastExit } }: PlannedRow): string {
  const why = lastExit === null ? "" : lastExit === 0 ? "exit 0, but not done; " : `exit ${lastExit}; `;
  return `${why}${attempts} failed ${attempts === 1 ? "attempt" : "attempts"}`;
}

function interruptionsOf({ ends: { interruptions } }: PlannedRow): string {
  return interruptions === 0 ? "" : `interrupted ${interruptions === 1 ? "once" : `${interruptions} times`}`;
}

function holderOf({ lock }: PlannedRow): string {
  if (lock?.holder == null) return lock?.pid == null ? "" : `PID ${lock.pid}`;
  const { user, jobId, hostname, pid } = lock.holder;
  const place = [jobId === null ? `PID ${pid ?? lock.pid ?? "unknown"}` : `job ${printable(jobId)}`];
  if (hostname !== null) place.push(`on ${printable(hostname)}`);
  return [...(user === null ? [] : [printable(user)]), place.join(" ")].join(", ");
}

function sinceOf({ lock }: PlannedRow, nowMs: number): string {
  const startedMs = lock?.startedAt == null ? Number.NaN : Date.parse(lock.startedAt);
  return startedMs <= nowMs ? durationText(nowMs - startedMs) : "";
}

function progressOf({ progress }: PlannedRow): string {
  if (progress === null) return "";
  return progress.of === null ? `step ${progress.step}` : `${progress.step}/${progress.of}`;
}

function quietOf({ progress }: PlannedRow, nowMs: number): string {
  const silentMs = progress === null ? null : quietMs(progress, nowMs);
  return silentMs === null ? "" : `quiet for ${durationText(silentMs)}`;
}

function afterDash(label: string): string {
  return label.replace(/^[A-Z]+ - /, "");
}

/** What is left by the medians of the finished runs; empty where too few have finished. */
export function estimateText(rows: readonly PlannedRow[], nowMs: number = Date.now()): string {
  const estimate = estimateOf(rows, nowMs);
  if (estimate === null) return "";
  const { seconds, unknown, from } = estimate;
  const running = rows.filter(({ state }) => state === "running").length;
  const end = localDateTime(nowMs + (seconds * 1000) / Math.max(1, running)).slice(0, 16);
  const until = running === 0 ? "" : `, until about ${end} with ${running} running`;
  const rest = unknown === 0 ? "" : `; ${unknown} rows are not counted, too few of their model have finished`;
  return `Left: about ${durationText(seconds * 1000)} of training${until} (medians of ${from} runs)${rest}\n`;
}

/** `29 configurations: 20 done, 4 running, 5 free   (14:02:11, 0.2 s)`: the counts that are not zero. */
export function countsLine({ rows, counts }: Plan, at: Date, tookMs: number): string {
  const order: readonly RowState[] = ["done", "running", "queued", "stale", "unknown", "blocked", "failed", "free"];
  const parts = order.flatMap((state) => (counts[state] === 0 ? [] : [`${counts[state]} ${state}`]));
  const what = rows.length === 1 ? "1 configuration" : `${rows.length} configurations`;
  const time = `(${localTime(at.getTime())}, ${(tookMs / 1000).toFixed(1)} s)`;
  return `${what}${parts.length === 0 ? "" : `: ${parts.join(", ")}`}   ${time}\n`;
}

function queuedText({ queued }: PlannedRow, nowMs: number): string {
  if (queued === null) return "";
  const { user, job, submittedAt, doubt } = queued;
  const known = `${printable(user)}, job ${printable(job)}`;
  if (doubt === null) return known;
  const what =
    doubt === "submission" ? "whether the scheduler has it is not known" : "its scheduler does not say how it is";
  return `${known}, submitted ${durationText(nowMs - submittedAt)} ago: ${what}`;
}
