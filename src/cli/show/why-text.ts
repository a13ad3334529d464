import type { Explanation, LastRun } from "../../grid/explain-row.ts";
import { withStage } from "../../grid/row-name.ts";
import { lockJson } from "../../listing/lock-json.ts";
import { durationText } from "../../model/durations.ts";
import { printable } from "../../model/printable.ts";
import { shellWord } from "../../model/shell-word.ts";
import { localDateTime } from "../../system/clock/local-time.ts";
import { lastLines } from "../../work/row-log.ts";
import type { ShownPast } from "../shown-past.ts";
import { runJson, runLine } from "./history-text.ts";
import type { Paint } from "./paint.ts";
import { paintState } from "./plan-text.ts";
import { wrapped } from "./wrapped.ts";

const shownLines = 5;
const shownLogs = 5;
const shownRuns = 5;

/** Why a row is in its state, for people: one part after the other, what would change it last. */
export function whyText(
  { row, kernelLock, key, because, lastRun, logs, change }: Explanation,
  past: ShownPast,
  paint: Paint,
  columns: number | null,
): string {
  const evidence = (row.lock?.evidence ?? []).map(
    ({ says, source, detail }) => `${says.padEnd(7)} ${source}: ${detail}`,
  );
  // An earlier run's says nothing of this one.
  const log = logs.find(({ generation }) => generation === lastRun?.generation);
  const earlier = logs.filter((each) => each !== log);
  // What stands in another part already is left out of a screen.
  const onScreen = columns !== null;
  const ran = lastRun === null ? ["none is recorded"] : lastRunLines(lastRun, fateOf(lastRun, past), onScreen);
  const places = [`kernel lock ${kernelLock}`, ...(key === null ? [] : [`key ${key}`])];
  const isNamed = (place: string) => onScreen && because.some((line) => line.includes(place));
  const parts: [string, readonly string[]][] = [
    ["why", because],
    ["evidence", evidence],
    ["last run", ran],
    ["history", pastLines(row.name, onScreen ? withoutRun(past, lastRun?.generation ?? null) : past)],
    [`log ${log?.path ?? ""}`, log === undefined ? [] : lastLines(log.path, shownLines)],
    ["earlier logs", earlier.slice(0, shownLogs - 1).map(({ path, written }) => `${path}, until ${written}`)],
    ["where", [`weights dir ${row.weightsDir}`, ...places.filter((place) => !isNamed(place))]],
    ["what would change it", change],
  ];
  const shown = parts.filter(([, lines]) => lines.length > 0).map(([title, lines]) => partText(title, lines, columns));
  return `${paintState(row.state, paint)}  ${printable(withStage(row.name, row.configuration))}\n${shown.join("")}`;
}

function partText(title: string, lines: readonly string[], columns: number | null): string {
  const all = [`  ${printable(title)}`, ...lines.map((line) => `    ${printable(line)}`)];
  return all.map((line) => `${wrapped(line, columns)}\n`).join("");
}

/** A screen is not told of one run twice. */
function withoutRun(past: ShownPast, shown: number | null): ShownPast {
  return { ...past, runs: past.runs.filter(({ generation }) => generation === null || generation !== shown) };
}

/** A record has no room for who has cleared it: the time of the clear looks like that of an end there. */
function fateOf({ generation }: LastRun, past: ShownPast): string | null {
  return past.runs.find((run) => run.generation === generation)?.fate ?? null;
}

/** Counts of nothing are left out of a screen. */
function lastRunLines(
  { generation, user, job, host, started, ended, exitCode, ends }: LastRun,
  fate: string | null,
  onScreen: boolean,
): string[] {
  const who = [user, job === null ? null : `job ${job}`, host === null ? null : `on ${host}`].filter(
    (text) => text !== null,
  );
  const took = ends.seconds === null ? "" : `, ${durationText(ends.seconds * 1000)}`;
  const end =
    ended === null
      ? "no end is recorded"
      : fate !== null
        ? `interrupted, ${fate}`
        : `ended ${ended}${exitCode === null ? "" : `, exit ${exitCode}`}${ends.lastEnd === null ? "" : `, ${ends.lastEnd}`}${took}`;
  const since = ends.attempts + ends.interruptions;
  const rest = ends.checkpoint === null ? [] : [`newest checkpoint ${ends.checkpoint}, ${ends.checkpointWritten}`];
  const said = `since the last run that was done: ${ends.attempts} failed, ${ends.interruptions} interrupted`;
  const counts = onScreen && since === 0 ? [] : [said];
  const whose = `generation ${generation ?? "unknown"}${who.length === 0 ? "" : `, ${who.join(" ")}`}`;
  const when = `began ${started ?? "at an unknown time"}, ${end}`;
  // Two lines that are often one: a screen has 24.
  const ran = onScreen ? [`${whose}; ${when}`.replaceAll(/(?<=:\d\d)\.\d+/g, "")] : [whose, when];
  return [...ran, ...counts, ...rest];
}

/** Runs, the newest first, and who was turned away. */
function pastLines(name: string, { runs, refusals }: ShownPast): string[] {
  const more = runs.length - shownRuns;
  const [newest] = refusals;
  const jobs = refusals.length === 1 ? "1 job was turned away" : `${refusals.length} jobs were turned away, the last`;
  return [
    ...runs.slice(0, shownRuns).map(runLine),
    ...(more <= 0 ? [] : [`${more} earlier: trainlock history --match ${shellWord(name)}`]),
    ...(newest === undefined ? [] : [`${jobs} ${localDateTime(newest.atMs)}, of ${newest.user}`]),
  ];
}

/** The same as a JSON document; the names are a contract. */
export function whyJson(
  { row, kernelLock, key, rule, because, lastRun, logs, change }: Explanation,
  { runs, refusals }: ShownPast,
): unknown {
  return {
    name: row.name,
    configuration: row.configuration,
    state: row.state,
    because,
    change,
    weightsDir: row.weightsDir,
    kernelLock,
    key,
    lock: row.lock === null ? null : lockJson(row.lock),
    done: { when: rule.patterns, minSize: rule.smallestBytes, file: rule.file, by: row.doneBy },
    progress: row.progress,
    attempts: row.ends.attempts,
    interruptions: row.ends.interruptions,
    lastExit: row.ends.lastExit,
    lastRun,
    runs: runs.map(runJson),
    turnedAway: refusals.map(({ user, atMs }) => ({ user, at: new Date(atMs).toISOString() })),
    logs: logs.map((log, index) => (index === 0 ? { ...log, lastLines: lastLines(log.path, shownLines) } : log)),
  };
}
