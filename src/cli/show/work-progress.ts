import { durationText } from "../../model/durations.ts";
import { printable } from "../../model/printable.ts";
import { localTime } from "../../system/clock/local-time.ts";
import type { EndedRun } from "../../work/ended-runs.ts";
import type { RemainingRows } from "../../work/remaining-rows.ts";
import { lastLines } from "../../work/row-log.ts";
import type { RowRun, RunEnd, StopReason, WorkEvents } from "../../work/work-request.ts";
import { isWarning } from "../../work/work-signals.ts";
import { isTerminal, print, say, sayInPlace } from "../output.ts";
import { terminalColumns } from "./wrapped.ts";

const shownLines = 5;
const barWidth = 20;

export interface ShownWork extends WorkEvents {
  /** The worker is over. */
  finish(): void;
}

/** What a worker says: one line an event, with its time, and on a terminal a bar of the whole grid. */
export function showWork(options: {
  /** Where runs have the worker's output, its own lines are messages. */
  readonly toErrors: boolean;
  readonly quiet: boolean;
  /** Names of the rows that were done before. */
  readonly doneBefore: ReadonlySet<string>;
}): ShownWork {
  const { toErrors, quiet, doneBefore } = options;
  const withBar = !quiet && isTerminal(2);
  let bar = "";
  const line = (text: string, always = false) => {
    if (quiet && !always) return;
    if (withBar && bar !== "") sayInPlace("");
    if (toErrors) say(text);
    else print(`${text}\n`);
    if (withBar && bar !== "") sayInPlace(bar);
  };
  const columns = toErrors ? null : terminalColumns();
  /** On a terminal a log's path has a line of its own where it does not fit, and of a row that begins it is left out. */
  const event = (word: string, name: string, detail: string, log: string | null = null, always = false) => {
    const text = `${localTime(Date.now())} ${word.padEnd(11)} ${printable(name)}${detail}`;
    const whole = log === null ? text : `${text}, log ${printable(log)}`;
    if (log === null || columns === null || whole.length <= columns) return line(whole, always);
    line(text, always);
    if (word !== "started") line(`    log ${printable(log)}`, always);
  };
  return {
    started: ({ name, log }) => event("started", name, "", log),
    ended: (run, end) => {
      const isFailure = end.kind === "failed" || end.kind === "broken command";
      event(endWord(end), run.name, endText(run, end), isFailure ? run.log : null, end.kind !== "done");
      if (isFailure) for (const each of tailOf(run)) line(each, true);
    },
    said: (name, messages) => {
      for (const message of messages) line(`  ${printable(name)}: ${printable(message)}`, true);
    },
    warning: (text) => line(`trainlock: ${printable(text)}`, true),
    stopping: (why) => {
      for (const each of stopText(why)) line(each, true);
    },
    waiting: (unseen) => {
      event("waiting", "", "for rows that others hold, or that need something");
      for (const each of unseen) line(`trainlock: ${printable(each)}`, true);
    },
    progress: (rows, running) => {
      bar = barText(rows, running, doneBefore);
      if (withBar) sayInPlace(bar);
    },
    finish: () => {
      if (withBar && bar !== "") sayInPlace("");
      bar = "";
    },
  };
}

function endWord({ kind }: RunEnd): string {
  const words = { "broken command": "failed", problem: "not started", unseen: "unknown" } as const;
  return kind in words ? words[kind as keyof typeof words] : kind;
}

function endText({ seconds }: RowRun, end: RunEnd): string {
  const after = ` after ${durationText(seconds * 1000)}`;
  switch (end.kind) {
    case "done":
      return `,${after}`;
    case "failed": {
      const how = end.signal !== null ? `died of ${end.signal}` : `exit ${end.exitCode}`;
      const unmet = end.missing === null ? "" : ` without what shows it to be done (${printable(end.missing)})`;
      return `, ${how}${unmet}${after}`;
    }
    case "broken command":
      return `, exit ${end.exitCode}: the command ${end.exitCode === 127 ? "is not found" : "cannot be executed"}`;
    case "interrupted":
      return `,${after}: ${printable(end.why)}`;
    case "unseen":
      return `, exit 0${after}; whether it is done cannot be looked at now`;
    case "problem":
      return `: ${printable(end.why)}`;
  }
}

function tailOf({ log }: RowRun): string[] {
  return log === null ? [] : lastLines(log, shownLines).map((text) => `    | ${printable(text)}`);
}

function stopText(why: StopReason): string[] {
  switch (why.kind) {
    case "signal":
      return isWarning(why.signal)
        ? [`trainlock: ${why.signal} is passed on; no further row is started`]
        : [`trainlock: ${why.signal}: no further row is started; a second Ctrl-C kills what runs`];
    case "time":
      return ["trainlock: the time is over: no further row is started"];
    case "broken command":
      return ["trainlock: stopping: the command does not start; this is no failed attempt of the row"];
    case "failures in a row":
      return [
        `trainlock: stopping: ${why.names.length} runs in a row failed within a minute: ${why.names.map(printable).join(", ")}`,
        "  is the command right? `trainlock work --rehearse` looks without starting anything; --retry-failed tries these again",
      ];
    case "broken grid":
      return brokenGridText(why.runs);
    case "environment":
      return [`trainlock: stopping: several rows could not be started or looked at: ${printable(why.why)}`];
  }
}

/** No worker and no element starts anything then. */
export function brokenGridText(runs: readonly EndedRun[]): string[] {
  return [
    `trainlock: the last ${runs.length} runs of this grid, by all workers, failed within a minute, each on another row:`,
    `  ${runs.map(({ name }) => printable(name)).join(", ")}`,
    "  nothing is started; mend the command, then give --retry-failed",
  ];
}

function barText(rows: RemainingRows, running: number, doneBefore: ReadonlySet<string>): string {
  const done = rows.doneAmong(doneBefore);
  const filled = rows.size === 0 ? barWidth : Math.floor((done / rows.size) * barWidth);
  const failed = rows.apart.filter(({ rest }) => rest.kind === "failed").length;
  const more = failed === 0 ? "" : `, ${failed} failed`;
  return `[${"#".repeat(filled).padEnd(barWidth, "-")}] ${done} of ${rows.size} done, ${running} running here${more}`;
}
