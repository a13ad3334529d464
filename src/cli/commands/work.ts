import { resolve } from "node:path";
import { FieldReader } from "../../grid/fields.ts";
import type { Row } from "../../grid/grid.ts";
import { configurationArguments } from "../../grid/next-command.ts";
import { planRows } from "../../grid/plan.ts";
import { exitCodes } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { ProgressReader } from "../../progress/progress-reader.ts";
import type { DoneRule } from "../../run/done-rule.ts";
import { signalNumber } from "../../system/processes/signals.ts";
import { CommandTemplate } from "../../work/command-template.ts";
import { EndedRuns } from "../../work/ended-runs.ts";
import { splitGpus } from "../../work/gpu-slots.ts";
import { GridOnDisk } from "../../work/grid-on-disk.ts";
import { isEmptyRule, RowLooker } from "../../work/look-at-row.ts";
import { rehearse } from "../../work/rehearse.ts";
import { rowValues, rowVariables } from "../../work/row-values.ts";
import { endOfJob } from "../../work/time-limit.ts";
import { Worker, type WorkResult } from "../../work/worker.ts";
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
import { evidenceOptions, examineFrom } from "../evidence-options.ts";
import {
  attemptsOption,
  givenGrid,
  maxAttemptsFor,
  rowRules,
  selectionFrom,
  selectionOptions,
} from "../grid-options.ts";
import { optionArguments } from "../option-arguments.ts";
import { isTerminal, print, say } from "../output.ts";
import { paintFor } from "../show/paint.ts";
import { planLines } from "../show/plan-text.ts";
import { showWork } from "../show/work-progress.ts";
import { layoutFrom, siteOptions } from "../site-options.ts";
import { parseCount, parsePositiveDuration, wholeNumber } from "../units.ts";
import { runOptions } from "./run-options.ts";

const mostJobs = 64;
const { onLost, killAfter, leftovers, dieWithWrapper, checkEvery, ttl, alsoMarker } = runOptions;
/** What each run gets as the worker has it. */
const passedOn = {
  ...siteOptions,
  ...evidenceOptions,
  onLost,
  killAfter,
  leftovers,
  dieWithWrapper,
  checkEvery,
  ttl,
  alsoMarker,
};

const options = {
  ...selectionOptions,
  jobs: valueOr("<n>", "so many rows at a time; TRAINLOCK_SLOT is 0 to n-1", "1", parseJobs),
  count: value("<k>", "train so many rows, then stop; with 1, exit as the command did", parseCount),
  until: value("<when>", "start no row that usually takes longer than what is left: 23h, or job", parseUntil),
  ...attemptsOption,
  retryFailed: flag("train rows that have failed once more, and go on where a whole grid was stopped"),
  wait: flag("wait for rows that others hold, or that need something"),
  order: choiceOr("<how>", "which row is next: as written in the grid, or random", ["grid", "random"], "grid"),
  log: value("<what>", "where output goes: inherit, or a path with {name} and {generation} (else in the weights dir)"),
  splitGpus: flag("each slot gets its share of CUDA_VISIBLE_DEVICES, else of the GPUs there are"),
  rehearse: flag("check command, folders and done rule of all rows, and start nothing"),
  ...doneOptions,
  ...passedOn,
  quiet: flag("print failures alone"),
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
  const template = new CommandTemplate(
    argv,
    layout.site.dimensions.map(({ name }) => name),
  );
  const selection = selectionFrom(reader, given);
  const disk = new GridOnDisk(
    gridFile,
    () => givenGrid(reader, gridFile, selection),
    (rows) => {
      for (const row of rows) template.expand(rowValues(layout, row.configuration, null));
    },
  );
  const rows = await disk.first();
  const ruleOf = rowRules(layout, given);
  const nameOf = (row: Row) => layout.displayName(row.configuration);
  const variables = await slotVariables(given);
  const endsAt = given.until === undefined ? null : await endOf(given.until);
  const looker = await RowLooker.open(reader, ruleOf);
  if (given.rehearse) return showRehearsal(await rehearse({ layout, rows: rows.chosen, argv, ruleOf, looker }));
  const endedRuns = new EndedRuns(layout.lockDir, (text) => say(`trainlock: ${printable(text)}`));
  if (given.retryFailed) await endedRuns.forgive();
  const doneBefore = isTerminal(2) && !given.quiet ? await doneNow(rows.chosen, looker, nameOf) : new Set<string>();
  const show = showWork({ toErrors: given.log === "inherit", quiet: given.quiet, doneBefore });
  if (rows.chosen.some((row) => isEmptyRule(ruleOf(row))) && !given.quiet)
    show.warning("without a done rule, a row whose last run ended with exit code 0 counts as trained (--done-when)");
  const fixed = optionArguments(passedOn, given);
  const worker = new Worker({
    rows,
    reread: () => disk.changed(show.warning),
    nameOf,
    look: (row) => looker.look(row),
    forget: () => looker.forget(),
    isQueued: () => false,
    maxAttempts: maxAttemptsFor(layout, given),
    hasCheckpoint: () => false,
    isDone: (row) => looker.endedWell(row),
    argumentsOf: (row) => [
      ...fixed,
      ...configurationArguments(row.configuration),
      ...ruleArguments(ruleOf(row)),
      ...logArguments(given.log, nameOf(row)),
      "--quiet",
      "--",
      ...template.expand(rowValues(layout, row.configuration, null)),
    ],
    variablesOf: (row, slot) => ({
      ...rowVariables(rowValues(layout, row.configuration, null)),
      ...variables[slot],
    }),
    slots: given.jobs,
    most: given.count ?? Number.POSITIVE_INFINITY,
    endsAt,
    wait: given.wait,
    order: given.order,
    inheritsOutput: given.log === "inherit",
    endedRuns,
    tell: show,
  });
  process.setMaxListeners(0);
  const result = await worker.work();
  show.finish();
  await showRest(given, reader, ruleOf, result);
  return exitCodeOf(given, result);
}

function ruleArguments({ patterns, smallestBytes, file }: DoneRule): string[] {
  const when = patterns.map((pattern) => `--done-when=${pattern}`);
  return [...when, `--done-min-size=${smallestBytes}`, ...(file === null ? [] : [`--done-file=${file}`])];
}

function logArguments(log: string | undefined, name: string): string[] {
  if (log === undefined) return [];
  return log === "inherit" ? ["--inherit"] : [`--log=${resolve(log.replaceAll("{name}", name))}`];
}

async function slotVariables(given: WorkOptions): Promise<readonly Readonly<Record<string, string>>[]> {
  const gpus = given.splitGpus ? await splitGpus(given.jobs, process.env.CUDA_VISIBLE_DEVICES) : null;
  return Array.from({ length: given.jobs }, (_, slot) => ({
    TRAINLOCK_SLOT: String(slot),
    ...(gpus === null ? {} : { CUDA_VISIBLE_DEVICES: gpus[slot] ?? "" }),
  }));
}

async function endOf(until: number | "job"): Promise<number | null> {
  return until === "job" ? endOfJob() : Date.now() + until;
}

async function doneNow(rows: readonly Row[], looker: RowLooker, nameOf: (row: Row) => string): Promise<Set<string>> {
  const done = new Set<string>();
  for (const row of rows) if ((await looker.look(row)).kind === "done") done.add(nameOf(row));
  return done;
}

/** The rows that were not trained, with who holds them or why else, as `plan` shows them. */
async function showRest(
  given: WorkOptions,
  reader: FieldReader,
  ruleOf: (row: Row) => DoneRule,
  { rest, trained, failed, stop, problems }: WorkResult,
): Promise<void> {
  const write = (text: string) => (given.log === "inherit" ? say(text.trimEnd()) : print(text));
  const held = rest.filter(({ rest: { kind } }) => kind === "held" || kind === "blocked");
  const planned =
    held.length === 0
      ? []
      : (
          await planRows({
            reader,
            rows: held.map(({ row }) => row),
            examine: examineFrom(given, reader.layout),
            ruleOf,
            maxAttempts: maxAttemptsFor(reader.layout, given),
            progress: new ProgressReader(reader.layout.site.progress),
          })
        ).rows;
  if (planned.length > 0 && !given.quiet) write(planLines(planned, paintFor(1, given.color), isTerminal(1), false));
  const late = rest.filter(({ rest: { kind } }) => kind === "late").length;
  const states = [...new Set(planned.map(({ state }) => state))];
  const counts = states.map((state) => `${planned.filter((row) => row.state === state).length} ${state}`);
  const parts = [
    `${trained} trained`,
    ...(failed.length === 0 ? [] : [`${failed.length} failed (${failed.map(printable).join(", ")})`]),
    ...counts,
    ...(late === 0 ? [] : [`${late} without time`]),
    ...(problems.length === 0 ? [] : [`${problems.length} not to be looked at or started`]),
  ];
  const nothing = trained === 0 && failed.length === 0 && stop === null && problems.length === 0;
  if (nothing && rest.length === 0) write("nothing is left to train\n");
  else if (nothing) write(`nothing can be trained now: ${parts.slice(1).join(", ")}\n`);
  else if (!given.quiet || failed.length > 0) write(`${parts.join(", ")}\n`);
}

function exitCodeOf({ count }: WorkOptions, result: WorkResult): number {
  const { stop, failed, rest, problems, lastCode } = result;
  const has = (...kinds: string[]) => rest.some(({ rest: { kind } }) => kinds.includes(kind));
  if (problems.length > 0 || stop?.kind === "environment" || has("problem")) return exitCodes.environment;
  if (count === 1 && lastCode !== null) return lastCode;
  const stopsLate = stop?.kind === "time" || (stop?.kind === "signal" && /^SIGUSR/.test(stop.signal));
  if (stop?.kind === "signal" && !stopsLate) return exitCodes.signalBase + signalNumber(stop.signal);
  if ((stop !== null && !stopsLate) || failed.length > 0 || has("failed")) return 1;
  if (count === 1) return exitCodes.ok;
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

function parseUntil(given: string, text: string): number | "job" {
  return text === "job" ? "job" : parsePositiveDuration(given, text);
}
