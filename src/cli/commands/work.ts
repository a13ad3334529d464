import { markQueued, waitingSubmissions } from "../../grid/covered-rows.ts";
import { FieldReader } from "../../grid/fields.ts";
import type { Row } from "../../grid/grid.ts";
import { planRows } from "../../grid/plan.ts";
import { rowName } from "../../grid/row-name.ts";
import { elementHere, noteTaken } from "../../grid/submissions.ts";
import { exitCodes, messageOf, UsageError } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { ProgressReader } from "../../progress/progress-reader.ts";
import type { DoneRule } from "../../run/done-rule.ts";
import { sweepLockDir } from "../../stores/sweep-lock-dir.ts";
import { signalNumber } from "../../system/processes/signals.ts";
import { CommandTemplate } from "../../work/command-template.ts";
import { EndedRuns } from "../../work/ended-runs.ts";
import { GridOnDisk } from "../../work/grid-on-disk.ts";
import { isEmptyRule, RowLooker } from "../../work/look-at-row.ts";
import { rehearse } from "../../work/rehearse.ts";
import { rowValues } from "../../work/row-values.ts";
import { endOfJob } from "../../work/time-limit.ts";
import type { WorkResult } from "../../work/work-request.ts";
import { isWarning } from "../../work/work-signals.ts";
import { Worker } from "../../work/worker.ts";
import {
  choiceOr,
  defineCommand,
  flag,
  operandAfterDashes,
  optionalOperand,
  type ValuesOf,
  value,
  valueOr,
} from "../command.ts";
import { doneOptions } from "../done-options.ts";
import { examineFrom } from "../evidence-options.ts";
import {
  attemptsOption,
  fileOfGrid,
  givenGrid,
  maxAttemptsFor,
  rowRules,
  selectionFrom,
  selectionOptions,
  withGridOf,
} from "../grid-options.ts";
import { isTerminal, print, say } from "../output.ts";
import { passedOn, rowCalls, runsOptions, sinceFrom } from "../row-calls.ts";
import { paintFor } from "../show/paint.ts";
import { planLines } from "../show/plan-text.ts";
import { leftWithOthers, showWorkEnd } from "../show/work-end.ts";
import { type ShownWork, showWork } from "../show/work-progress.ts";
import { layoutFrom } from "../site-options.ts";
import { parseCount, parsePositiveDuration, wholeNumber } from "../units.ts";

const mostJobs = 64;
const rowOptions = {
  ...attemptsOption,
  log: value(
    "<what>",
    "where output goes: inherit, or a path with {name} and {generation} (else in the weights dir)",
    parseLog,
  ),
};
/** What `submit` hands on to the elements of its arrays, beside where the site is and what shows a row to be done. */
export const elementOptions = { ...rowOptions, ...runsOptions };

const options = {
  ...selectionOptions,
  jobs: valueOr("<n>", "this many rows at a time; TRAINLOCK_SLOT is 0 to n-1", "1", parseJobs),
  count: value("<k>", "train this many rows, then stop; with 1, exit as the command did", parseCount),
  until: value("<when>", "start no row that usually takes longer than what is left: 23h, or job", parseUntil),
  retryFailed: flag("train rows that have failed once more, and go on where a whole grid was stopped"),
  again: flag("train the selected rows again, also those that are done; the files that show it are kept as *.before-N"),
  wait: flag("wait for rows that others hold, or that need something"),
  order: choiceOr("<how>", "which row is next: as written in the grid, or random", ["grid", "random"], "grid"),
  ...rowOptions,
  splitGpus: flag("each slot gets its share of CUDA_VISIBLE_DEVICES, else of the GPUs there are"),
  rehearse: flag("check command, folders and done rule of all rows, and start nothing"),
  ...doneOptions,
  ...passedOn,
  quiet: flag("print only failures"),
};

type WorkOptions = ValuesOf<typeof options>;

export const command = defineCommand({
  summary: "train what is left of a grid, one row after the other",
  options,
  operands: {
    grid: optionalOperand("grid file: .yaml, .csv, .tsv or .jsonl (else the options are the grid)"),
    command: operandAfterDashes("the command of a row, with {strategy}, {--ratio} and so on replaced"),
  },
  usage: "[GRID] [options] \\\n           -- COMMAND [ARG...]",
  notes:
    "Any number of workers, on any hosts, share a grid: each row is trained once. In the command {strategy}, {dataset}, " +
    "{model}, {ratio}, {seed}, {weights_dir}, {name} and {checkpoint} stand for the row's values, {--ratio} for --ratio " +
    "and its value, or for nothing. Its environment has them, too: TRAINLOCK_STRATEGY and so on. Output goes to " +
    "trainlock-logs in the weights dir. See `trainlock help work.md`.",
  examples: [
    "trainlock work grid.yaml --done-when iter_80000.pth \\\n    -- python train.py --strategy {strategy} --dataset {dataset} {--ratio}",
    "trainlock work grid.yaml --jobs 4 --split-gpus -- bash train.sh",
    "trainlock work grid.yaml --strategy 'gen_*' --until job -- bash train.sh",
    "trainlock work grid.yaml --rehearse -- bash train.sh {strategy} {model}",
  ],
  exitCodes: {
    0: "nothing is left to train, nothing failed",
    1: "some rows failed (they are named), or the worker stopped because its command fails",
    2: "the call or the grid is wrong, nothing was started",
    3: "the environment is wrong, or a row could not be looked at",
    75: "the rest is held, blocked or unknown, or there was no time for it",
    "128+N": "a signal stopped the worker",
    other: "with --count 1: the command's own; 0 where there was nothing to take",
  },
  execute: ({ grid, command: argv, ...given }) => work(grid, argv, given),
});

async function work(gridFile: string | undefined, argv: readonly string[], given: WorkOptions): Promise<number> {
  const layout = layoutFrom(given);
  const reader = new FieldReader(layout);
  const dimensions = layout.site.dimensions.map(({ name }) => name);
  const template = new CommandTemplate(argv, dimensions);
  const selection = selectionFrom(reader, given);
  // The site's file is read again, too, for what it says under `grid`.
  const readerNow = () => (gridFile === undefined ? withGridOf(layoutFrom(given), reader) : reader);
  const disk = new GridOnDisk(
    fileOfGrid(reader, gridFile, selection),
    () => givenGrid(readerNow(), gridFile, selection),
    (rows) => {
      for (const row of rows) template.expand(rowValues(layout, row.configuration, null));
    },
  );
  const rows = await disk.first();
  const ruleOf = rowRules(layout, given);
  const maxAttempts = maxAttemptsFor(layout, given);
  if (given.again && selection.size === 0)
    throw new UsageError("--again without a selection would train the whole grid again", {
      hint: "name the rows, for example --strategy baseline --model pspnet_r50",
    });
  const element = gridFile === undefined ? null : elementHere(gridFile, process.env);
  const since = sinceFrom(layout, { ...given, isDry: given.rehearse }, element?.retriedSinceMs);
  const looker = await RowLooker.open({
    ...{ reader, ruleOf, maxAttempts, ...since, examine: examineFrom(given, layout) },
    // What the chosen rows need and was not chosen stays done.
    againSinceMs: (weightsDir) => (disk.hasChosen(weightsDir) ? since.againSinceMs : null),
  });
  if (given.rehearse) return showRehearsal(await rehearse({ layout, rows: rows.chosen, argv, ruleOf, looker }));
  sweepLockDir(layout.lockDir, layout.site.lockPrimitive);
  const endedRuns = new EndedRuns(layout.lockDir, (text) => say(`trainlock: ${printable(text)}`));
  if (given.retryFailed) await endedRuns.forgive();
  const nameOf = (row: Row) => rowName(layout, row.configuration);
  const doneBefore = isTerminal(2) && !given.quiet ? await doneNow(rows.chosen, looker, nameOf) : new Set<string>();
  const show = showWork({ toErrors: given.log === "inherit", quiet: given.quiet, doneBefore });
  if (rows.chosen.some((row) => isEmptyRule(ruleOf(row))) && !given.quiet)
    show.warning("without a done rule, a row whose last run ended with exit code 0 counts as trained (--done-when)");
  const queued = element === null ? await queuedFolders(given, reader, rows.chosen, ruleOf) : new Set<string>();
  const tell = element === null ? show : notingElement(element, show);
  const worker = new Worker({
    rows,
    reread: () => disk.changed(show.warning),
    nameOf,
    look: (row) => looker.look(row),
    forget: () => looker.forget(),
    isQueued: (row) => queued.has(layout.weightsDir(row.configuration)),
    maxAttempts,
    missingAfterRun: (row, wasStopped) => looker.missingAfterRun(row, wasStopped),
    ...(await rowCalls(layout, template, { ruleOf, maxAttempts }, { ...given, ...since })),
    slots: given.jobs,
    most: given.count ?? Number.POSITIVE_INFINITY,
    endsAt: given.until === undefined ? null : await endOf(given.until),
    wait: given.wait,
    order: given.order,
    inheritsOutput: given.log === "inherit",
    endedRuns,
    tell,
  });
  process.setMaxListeners(0);
  const result = await worker.work();
  tell.finish();
  looker.close();
  await showEnd(given, reader, ruleOf, result, element === null);
  return exitCodeOf(given, result);
}

/** An element of an array covers no row any more once it has one, or has found none. */
function notingElement({ folder, run }: NonNullable<ReturnType<typeof elementHere>>, show: ShownWork): ShownWork {
  const note = () => {
    try {
      noteTaken(folder, run);
    } catch (error) {
      show.warning(`the submission goes on counting this element as waiting: ${messageOf(error)}`);
    }
  };
  return {
    ...show,
    started: (started) => {
      note();
      show.started(started);
    },
    finish: () => {
      note();
      show.finish();
    },
  };
}

async function endOf(until: number | "job"): Promise<number | null> {
  return until === "job" ? endOfJob() : Date.now() + until;
}

/** The weights dirs of rows that submissions cover: others are trained first. */
async function queuedFolders(
  given: WorkOptions,
  reader: FieldReader,
  rows: readonly Row[],
  ruleOf: (row: Row) => DoneRule,
): Promise<ReadonlySet<string>> {
  const { lockDir, site } = reader.layout;
  const choice = given.scheduler ?? site.scheduler;
  const waiting = await waitingSubmissions(lockDir, choice, site.timeouts.schedulerMs);
  if (waiting.length === 0) return new Set();
  const request = planRequest(given, reader, rows, ruleOf);
  const plan = await markQueued(await planRows(request), request, waiting);
  return new Set(plan.rows.flatMap(({ state, weightsDir }) => (state === "queued" ? [weightsDir] : [])));
}

async function doneNow(rows: readonly Row[], looker: RowLooker, nameOf: (row: Row) => string): Promise<Set<string>> {
  const done = new Set<string>();
  for (const row of rows) if ((await looker.look(row)).kind === "done") done.add(nameOf(row));
  return done;
}

/**
 * What is left with others is shown as `plan` shows it. To know who holds it, other hosts are asked: the hundreds of elements of
 * an array do not do that, and only count.
 */
async function showEnd(
  given: WorkOptions,
  reader: FieldReader,
  ruleOf: (row: Row) => DoneRule,
  result: WorkResult,
  asksHosts: boolean,
): Promise<void> {
  const write = (text: string) => (given.log === "inherit" ? say(text.trimEnd()) : print(text));
  const left = leftWithOthers(result).map(({ row }) => row);
  const { rows: planned } =
    left.length === 0 || !asksHosts ? { rows: [] } : await planRows(planRequest(given, reader, left, ruleOf));
  if (planned.length > 0 && !given.quiet) write(planLines(planned, paintFor(1, given.color), isTerminal(1), null));
  const nameOf = (row: Row) => rowName(reader.layout, row.configuration);
  showWorkEnd(result, { planned: asksHosts ? planned : null, nameOf, quiet: given.quiet, write });
}

function planRequest(
  given: WorkOptions,
  reader: FieldReader,
  rows: readonly Row[],
  ruleOf: (row: Row) => DoneRule,
): Parameters<typeof planRows>[0] {
  return {
    ...{ reader, rows, ruleOf },
    examine: examineFrom(given, reader.layout),
    maxAttempts: maxAttemptsFor(reader.layout, given),
    progress: new ProgressReader(reader.layout.site.progress),
  };
}

function exitCodeOf({ count }: WorkOptions, result: WorkResult): number {
  const { stop, failed, rest, problems, lastCode } = result;
  const has = (...kinds: string[]) => rest.some(({ rest: { kind } }) => kinds.includes(kind));
  if (problems.length > 0 || stop?.kind === "environment" || has("problem")) return exitCodes.environment;
  if (count === 1 && lastCode !== null) return lastCode;
  // Nothing could be taken.
  if (count === 1 && stop === null) return exitCodes.ok;
  const stopsLate = stop?.kind === "time" || (stop?.kind === "signal" && isWarning(stop.signal));
  if (stop?.kind === "signal" && !stopsLate) return exitCodes.signalBase + signalNumber(stop.signal);
  if ((stop !== null && !stopsLate) || failed.length > 0 || has("failed")) return 1;
  return stopsLate || has("held", "blocked", "late") ? exitCodes.lockedByAnother : exitCodes.ok;
}

function showRehearsal({ notes, faults }: Awaited<ReturnType<typeof rehearse>>): number {
  print(notes.map((note) => `${printable(note)}\n`).join(""));
  for (const fault of faults) say(`trainlock: ${printable(fault)}`);
  return faults.length === 0 ? exitCodes.ok : exitCodes.environment;
}

function parseJobs(given: string, text: string): number {
  return wholeNumber(given, text, mostJobs);
}

function parseLog(given: string, text: string): string {
  const odd = /\{(?!(?:name|generation)\})[A-Za-z_-]*\}/.exec(text)?.[0];
  if (text === "inherit" || (text.includes("{name}") && odd === undefined)) return text;
  const why = odd === undefined ? "all rows would write into one file" : `${odd} is not replaced there`;
  throw new UsageError(`${given} ${JSON.stringify(text)}: ${why}`, {
    hint: "such as --log 'logs/{name}-{generation}.txt'",
  });
}

function parseUntil(given: string, text: string): number | "job" {
  return text === "job" ? "job" : parsePositiveDuration(given, text);
}
