import { pruneHistory } from "../../history/prune.ts";
import { type HistoryRun, type RunState, readRuns, runStates } from "../../history/runs.ts";
import { savedHours } from "../../history/saved-hours.ts";
import { durationForms, durationMs } from "../../model/durations.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { nearest } from "../../model/nearest.ts";
import { printable } from "../../model/printable.ts";
import type { Layout } from "../../site/layout.ts";
import { lookUpUsers } from "../../system/processes/users.ts";
import { defineCommand, flag, offering, optionalOperand, type ValuesOf, value } from "../command.ts";
import { print, printJson, printJsonRows, say } from "../output.ts";
import {
  arrayJson,
  arrayLine,
  historyFields,
  historyLines,
  historyTsv,
  runJson,
  shownRun,
  usualFields,
} from "../show/history-text.ts";
import { terminalColumns } from "../show/wrapped.ts";
import { jsonOption, layoutFrom, siteOptions } from "../site-options.ts";

const options = {
  ...siteOptions,
  ...jsonOption,
  since: value("<time>", "only what happened since: 7d, or 2026-01-31", parseSince),
  match: value("<glob>", "only configurations of this name; * is anything: 'gen_*'"),
  user: value("<name>", "only runs of this user"),
  state: offering(
    runStates,
    value("<states>", `only these, separated by commas: ${runStates.join(", ")}`, parseStates),
  ),
  output: {
    ...value("<fields>", `these columns, separated by commas: ${historyFields.join(", ")}`, parseFields),
    short: "o",
  },
  tsv: flag("cells between tabs, and a header"),
  verbose: flag(
    "the evidence of each end, what was submitted, and what jobs that were turned away would have cost",
    "v",
  ),
  keep: value("<months>", "prune: keep this many months, such as 12mo", parseMonths),
};

export const command = defineCommand({
  summary: "show the runs of the past, and how they ended",
  options,
  operands: { what: optionalOperand("prune: remove your own files of earlier months (--keep 12mo)") },
  examples: [
    "trainlock history --since 7d",
    "trainlock history --match 'gen_*' --state failed,interrupted",
    "trainlock history -o started,name,exit,command --tsv",
    "trainlock history prune --keep 12mo",
  ],
  exitCodes: {
    0: "shown",
    2: "the call is wrong",
    3: "no such root, or a file could not be read or removed (the rest is done)",
  },
  execute: ({ what, ...given }) => history(what, given),
});

type HistoryOptions = ValuesOf<typeof options>;

async function history(what: string | undefined, given: HistoryOptions): Promise<number> {
  const layout = layoutFrom(given);
  if (what === "prune") return prune(layout, given);
  if (what !== undefined)
    throw new UsageError(`history ${JSON.stringify(what)}: there is only history prune`, {
      hint: "configurations are chosen by --match",
    });
  if (given.keep !== undefined)
    throw new UsageError("--keep is for history prune", { hint: "trainlock history prune --keep 12mo" });
  const commands = given.json || given.output?.includes("command") === true;
  const found = readRuns(layout.lockDir, { sinceMs: given.since ?? null, commands });
  const { torn, unreadable } = found;
  const clearers = found.runs.flatMap(({ cleared }) => cleared ?? []);
  const uids = [...new Set([...found.runs, ...found.refusals, ...found.arrays, ...clearers].map(({ uid }) => uid))];
  const users = await lookUpUsers(uids, []);
  const nameOf = (uid: number) => users.nameOf(uid) ?? String(uid);
  const isMeant = matcher(given, nameOf);
  const runs = found.runs
    .filter((run) => isMeant(run) && (given.state?.includes(run.state) ?? true))
    .map((run) => shownRun(run, nameOf));
  const arrays = found.arrays.filter(isMeant).map((array) => ({ ...array, user: nameOf(array.uid) }));
  const saved = savedHours(found.runs, found.refusals.filter(isMeant));
  const noEnd = runs.filter(({ state }) => state === "no-end").length;
  if (given.json) {
    const counts = { runs: runs.length, withoutEnd: noEnd, duplicates: saved.duplicates, torn };
    const hours = { gpuHoursSaved: saved.gpuHours, gpuHoursKnownOf: saved.known };
    printJsonRows({ ...counts, ...hours, submitted: arrays.map(arrayJson) }, runs, runJson);
  } else if (given.tsv) for (const text of historyTsv(runs, given.output ?? usualFields)) print(text);
  else {
    const columns = given.output ?? (given.verbose ? [...usualFields, "evidence"] : usualFields);
    const rows = runs.length === 1 ? "1 run" : `${runs.length} runs`;
    const counts = `${rows}, ${noEnd} without an end; ${saved.duplicates} ${saved.duplicates === 1 ? "duplicate" : "duplicates"} turned away\n`;
    // Whoever chooses columns gets them.
    const table = historyLines(runs, columns, given.output === undefined ? terminalColumns() : null);
    for (const text of table) print(text);
    print(`${given.verbose ? `${arrays.map(arrayLine).join("")}${savedText(saved)}` : ""}${counts}`);
  }
  if (torn > 0) say(`trainlock: ${torn} ${torn === 1 ? "line" : "lines"} of the history could not be read`);
  for (const [path, why] of unreadable) say(`trainlock: cannot read ${printable(path)}: ${printable(why)}`);
  return unreadable.size === 0 ? exitCodes.ok : exitCodes.environment;
}

function savedText({ duplicates, known, gpuHours }: ReturnType<typeof savedHours>): string {
  if (duplicates === 0) return "";
  if (known === 0) return "What they would have cost is not known\n";
  const rest = duplicates - known;
  const unknown = rest === 0 ? "" : `; of ${rest} others it is not known`;
  return `${known} of them would have cost ${gpuHours.toFixed(1)} GPU hours${unknown}\n`;
}

function matcher({ match, user }: HistoryOptions, nameOf: (uid: number) => string) {
  const shape =
    match === undefined
      ? null
      : new RegExp(
          `^${match
            .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
            .replaceAll("*", ".*")
            .replaceAll("?", ".")}$`,
          "is",
        );
  return ({ name, uid }: Pick<HistoryRun, "name" | "uid">): boolean =>
    (shape === null || shape.test(name)) && (user === undefined || nameOf(uid) === user || String(uid) === user);
}

function prune(layout: Layout, { keep, json }: HistoryOptions): number {
  if (keep === undefined)
    throw new UsageError("history prune: --keep is missing", { hint: "trainlock history prune --keep 12mo" });
  const { removed, failed } = pruneHistory(layout.lockDir, keep, new Date());
  if (json) printJson({ removed: removed.map(({ path }) => path) });
  else print(`Removed ${removed.length} ${removed.length === 1 ? "file" : "files"}\n`);
  for (const [path, why] of failed) say(`trainlock: cannot remove ${printable(path)}: ${printable(why)}`);
  return failed.size === 0 ? exitCodes.ok : exitCodes.environment;
}

/** Milliseconds since the epoch. */
function parseSince(given: string, text: string): number {
  const ago = durationMs(text);
  if (ago !== null) return Date.now() - ago;
  const at = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?$/.test(text)
    ? new Date(text.includes(":") ? text.replace(" ", "T") : `${text}T00:00`).getTime()
    : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw new UsageError(`${given} ${JSON.stringify(text)} is not a time`, { hint: `2026-01-31, or ${durationForms}` });
}

function parseStates(given: string, text: string): readonly RunState[] {
  return chosenFrom(given, text, runStates);
}

function parseFields(given: string, text: string): readonly string[] {
  return chosenFrom(given, text, historyFields);
}

function chosenFrom<T extends string>(given: string, text: string, known: readonly T[]): readonly T[] {
  return text.split(",").map((word) => {
    const meant = known.find((each) => each === word.trim().toLowerCase());
    if (meant !== undefined) return meant;
    const near = nearest(word, known);
    throw new UsageError(`${given}: there is no ${JSON.stringify(word)}`, {
      hint: near === null ? `one of ${known.join(", ")}` : `did you mean ${near}?`,
    });
  });
}

function parseMonths(given: string, text: string): number {
  const months = Number(/^(\d{1,4})mo$/.exec(text.trim())?.[1] ?? 0);
  if (months >= 1) return months;
  throw new UsageError(`${given} ${JSON.stringify(text)} is not a number of months`, { hint: `${given} 12mo` });
}
