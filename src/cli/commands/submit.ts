import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { askCluster } from "../../evidence/schedulers/cluster.ts";
import { arrayNumber } from "../../evidence/schedulers/elements.ts";
import type { SchedulerKind } from "../../evidence/schedulers/listed-job.ts";
import { markQueued, schedulerFor, sortSubmissions } from "../../grid/covered-rows.ts";
import { FieldReader } from "../../grid/fields.ts";
import { placeOf, type Row } from "../../grid/grid.ts";
import { isTrainable, type Plan, type PlanRequest, planRows } from "../../grid/plan.ts";
import { rowName } from "../../grid/row-name.ts";
import { dropSubmission, readSubmissions, sweepSubmissions } from "../../grid/submissions.ts";
import { type EventLog, openEventLog } from "../../history/event-log.ts";
import { EnvironmentError, exitCodes, messageOf, TrainlockError, UsageError } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { ProgressReader } from "../../progress/progress-reader.ts";
import type { Layout } from "../../site/layout.ts";
import { configVariable } from "../../site/open-site.ts";
import { storeVariables } from "../../site/store-settings.ts";
import { sweepLockDir } from "../../stores/sweep-lock-dir.ts";
import { requireUsable } from "../../submit/array-script.ts";
import { arrayName, dialects } from "../../submit/dialects.ts";
import { whileNobodySubmits } from "../../submit/submit-lock.ts";
import {
  groupRows,
  limitRunning,
  newFolder,
  type Part,
  type SubmitPlace,
  scriptOf,
  splitGroup,
  submitPart,
  unknownSubmission,
} from "../../submit/submit-rows.ts";
import { runProgram } from "../../system/processes/run-program.ts";
import { CommandTemplate } from "../../work/command-template.ts";
import { EndedRuns } from "../../work/ended-runs.ts";
import { rowValues } from "../../work/row-values.ts";
import {
  defineCommand,
  flag,
  operandAfterDashes,
  optionalOperand,
  repeatedValue,
  type ValuesOf,
  value,
} from "../command.ts";
import { doneOptions } from "../done-options.ts";
import { evidenceOptions, examineFrom } from "../evidence-options.ts";
import { givenGrid, maxAttemptsFor, rowRules, selectionFrom, selectionOptions } from "../grid-options.ts";
import { optionArguments } from "../option-arguments.ts";
import { print, say } from "../output.ts";
import { sinceFrom } from "../row-calls.ts";
import { inDoubtText, leftText, nothingText, rowsText } from "../show/submit-text.ts";
import { brokenGridText } from "../show/work-progress.ts";
import { layoutFrom, siteOptions } from "../site-options.ts";
import { parseCount } from "../units.ts";
import { elementOptions } from "./work.ts";

const options = {
  ...selectionOptions,
  maxRunning: value("<n>", "this many elements of this call may run at once", parseCount),
  limit: value("<n>", "this many elements at most", parseCount),
  with: {
    ...repeatedValue(
      "<option>",
      "an option for the scheduler, for all rows, such as --with --partition=gpu; may be repeated",
    ),
    takesOptions: true,
  },
  dryRun: flag("print the scripts, and submit nothing"),
  retryFailed: flag("submit rows that have failed once more, and go on where a whole grid was stopped"),
  quiet: flag("print what was submitted, and nothing where there is nothing to submit"),
  forget: value("<job>", "rows that this submission covers are no longer queued"),
  ...siteOptions,
  ...evidenceOptions,
  ...doneOptions,
  ...elementOptions,
};

type SubmitOptions = ValuesOf<typeof options>;

export const command = defineCommand({
  summary: "submit array jobs whose elements train what is left of a grid",
  options,
  operands: {
    grid: optionalOperand("grid file: .yaml, .csv, .tsv or .jsonl (else the options are the grid)"),
    command: { ...operandAfterDashes("the command of a row, as for `work`"), missing: [] },
  },
  usage: "[GRID] [options] \\\n              -- COMMAND [ARG...]",
  notes:
    "As many elements as rows can be trained and are not queued, one array for each set of `submit` options in the grid, to " +
    "Slurm, LSF, PBS or Grid Engine. An element claims a row when it starts: it is `work --count 1` on a copy of the grid. " +
    "Covered rows are `queued` in `plan`, and are not submitted twice. See `trainlock help work.md`.",
  examples: [
    "trainlock submit grid.yaml --with --gres=gpu:1 -- bash train.sh",
    "trainlock submit grid.yaml --max-running 8 --dry-run -- bash train.sh",
    "trainlock submit grid.yaml --quiet -- bash train.sh      # in cron, every hour",
    "trainlock submit --forget 123456",
  ],
  exitCodes: {
    0: "submitted, or nothing to submit",
    2: "the call or the grid is wrong, nothing was submitted",
    3: "no scheduler, or it refused (what went in before is named), or a row could not be looked at, or all runs fail",
  },
  execute: ({ grid, command: argv, ...given }) =>
    given.forget === undefined ? submit(grid, argv, given) : forget(given.forget, given),
});

async function submit(gridFile: string | undefined, argv: readonly string[], given: SubmitOptions): Promise<number> {
  requireCommand(argv);
  const layout = layoutFrom(given);
  requirePasswordFile(layout);
  const reader = new FieldReader(layout);
  const dimensions = layout.site.dimensions.map(({ name }) => name);
  const template = new CommandTemplate(argv, dimensions);
  const { chosen: rows } = await givenGrid(reader, gridFile, selectionFrom(reader, given));
  for (const row of rows) template.expand(rowValues(layout, row.configuration, null));
  const choice = given.scheduler ?? layout.site.scheduler;
  const kind = requireScheduler(choice);
  requireUsable(kind, given.with ?? [], "--with");
  for (const row of rows) requireUsable(kind, row.settings.submit, placeOf(row));
  const timeoutMs = layout.site.timeouts.schedulerMs;
  const run = (call: readonly [string, ...string[]]) => runProgram({ argv: call, timeoutMs });
  const { name, mostElements } = await askCluster(kind, run);
  const place: SubmitPlace = {
    kind,
    cluster: name,
    lockDir: layout.lockDir,
    callFor: callFor(layout, argv, given),
    ...sinceFrom(layout, { ...given, again: false, isDry: given.dryRun }),
  };
  const request: PlanRequest = {
    reader,
    rows,
    examine: examineFrom(given, layout),
    ruleOf: rowRules(layout, given),
    maxAttempts: given.retryFailed ? () => Number.POSITIVE_INFINITY : maxAttemptsFor(layout, given),
    progress: new ProgressReader(layout.site.progress),
  };
  const count = async () => {
    const { waiting, over } = await sortSubmissions(layout.lockDir, choice, timeoutMs);
    const plan = await markQueued(await planRows(request), request, waiting);
    const state = new Map(plan.rows.map((row) => [row.weightsDir, row]));
    const isFree = (row: Row) => {
      const planned = state.get(layout.weightsDir(row.configuration));
      return planned !== undefined && isTrainable(planned);
    };
    const groups = groupRows(rows, isFree, given.with ?? [], given.limit ?? Number.POSITIVE_INFINITY);
    const label = arrayName(gridFile ?? null);
    const all = groups.flatMap((group) => splitGroup(group, label, mostElements));
    const parts = given.maxRunning === undefined ? all : limitRunning(all, given.maxRunning);
    return {
      plan,
      parts,
      over,
      waiting,
      left: all.slice(parts.length).reduce((sum, { job }) => sum + job.elements, 0),
    };
  };
  const endedRuns = new EndedRuns(layout.lockDir, (text) => say(`trainlock: ${printable(text)}`));
  const names = new Set(rows.map(({ configuration }) => rowName(layout, configuration)));
  const broken = given.retryFailed ? null : endedRuns.brokenSeries((each) => names.has(each));
  if (broken !== null) {
    say(brokenGridText(broken).join("\n"));
    return exitCodes.environment;
  }
  if (given.dryRun) {
    const { plan, parts, left } = await count();
    print(parts.map((part) => scriptOf(place, part, newFolder(layout.lockDir))).join("\n"));
    if (parts.length === 0) say(nothingText(plan));
    if (left > 0) say(leftText(left, parts.length));
    return unseenCode(plan);
  }
  const onBusy = () => given.quiet || say("Waiting for another submit");
  if (given.retryFailed) await endedRuns.forgive();
  return whileNobodySubmits(layout, examineFrom(given, layout), onBusy, async () => {
    const { plan, parts, over, waiting, left } = await count();
    for (const { submission } of waiting) if (submission.job === null) say(inDoubtText(submission));
    sweepSubmissions(layout.lockDir, over);
    sweepLockDir(layout.lockDir, layout.site.lockPrimitive);
    if (parts.length === 0 && !given.quiet) print(`${nothingText(plan)}\n`);
    const history = openEventLog(layout, (text) => say(`trainlock: ${printable(text)}`));
    const wentIn = await submitParts(place, parts, history, given.quiet).finally(() => history.settled());
    if (left > 0 && wentIn && !given.quiet) say(leftText(left, parts.length));
    return wentIn ? unseenCode(plan) : exitCodes.environment;
  });
}

function requireCommand(argv: readonly string[]): void {
  if (argv.length > 0) return;
  throw new UsageError("no command is given", {
    hint: "give it after --, for example: trainlock submit grid.yaml -- bash train.sh",
  });
}

function requireScheduler(choice: Parameters<typeof schedulerFor>[0]): SchedulerKind {
  const kind = schedulerFor(choice);
  if (kind !== null) return kind;
  throw new EnvironmentError("no scheduler is installed here, as far as PATH says", {
    code: "ERR_NO_SCHEDULER",
    hint: "call it where sbatch, bsub or qsub is, or give --scheduler; without one, `trainlock work`",
  });
}

/** False where the scheduler refused one: then the rest is not tried. */
async function submitParts(
  place: SubmitPlace,
  parts: readonly Part[],
  history: EventLog,
  isQuiet: boolean,
): Promise<boolean> {
  for (const [index, part] of parts.entries()) {
    const what = parts.length === 1 ? "" : `, part ${index + 1} of ${parts.length}`;
    // A busy controller keeps sbatch waiting for minutes.
    const waiting = setTimeout(() => isQuiet || say(`Waiting for ${dialects[place.kind].command[0]}${what}`), 2000);
    try {
      const job = await submitPart(place, part).finally(() => clearTimeout(waiting));
      const { name, elements: rows } = part.job;
      history.add({ token: null, generation: null, name }, { event: "submitted", rows, submission: job });
      const options = part.job.options.length === 0 ? "" : ` (${part.job.options.map(printable).join(" ")})`;
      print(`submitted ${rowsText(part.job.elements)} as job ${printable(job)}${what}${options}\n`);
    } catch (error) {
      if (!(error instanceof TrainlockError)) throw error;
      for (const line of messageOf(error).split("\n")) say(`trainlock: ${printable(line)}`);
      if (error.hint !== undefined) say(`  ${printable(error.hint)}`);
      if (index === 0 && error.code === unknownSubmission) return false;
      const before = parts.slice(0, index).reduce((sum, { job }) => sum + job.elements, 0);
      say(
        index === 0
          ? "  nothing was submitted"
          : `  ${rowsText(before)} went in before it, in ${index} of ${parts.length} arrays`,
      );
      return false;
    }
  }
  return true;
}

function unseenCode({ rows }: Plan): number {
  const unseen = rows.filter(({ state, reason }) => state === "unknown" && reason !== null);
  for (const { name, reason } of unseen) say(`trainlock: ${printable(name)}: ${printable(reason ?? "")}`);
  return unseen.length === 0 ? exitCodes.ok : exitCodes.environment;
}

/** A script is kept and shown by schedulers, so no password is in it. */
function requirePasswordFile({ store }: Layout): void {
  if (store === null || store.user === null || store.passwordFile !== null) return;
  throw new UsageError(`the jobs would have no password for the store's user ${JSON.stringify(store.user)}`, {
    code: "ERR_STORE",
    hint: `write it into a file that their hosts have, and name that by ${storeVariables.passwordFile} or \`password_file\``,
  });
}

/** What an element calls: this program by its real path, with everything in force here that its own environment will not say. */
function callFor(layout: Layout, argv: readonly string[], given: SubmitOptions): SubmitPlace["callFor"] {
  const config = given.config ?? (process.env[configVariable] || undefined);
  const fixed = optionArguments(
    { ...siteOptions, ...evidenceOptions, ...doneOptions, ...elementOptions },
    {
      ...given,
      debug: false,
      root: layout.root,
      ...(given.lockDir === undefined ? {} : { lockDir: resolve(given.lockDir) }),
      ...(config === undefined ? {} : { config: resolve(config) }),
    },
  );
  const { store } = layout;
  const entries = Object.entries(storeVariables) as [keyof typeof storeVariables, string][];
  const variables = entries.flatMap(([key, variable]): [string, string][] => {
    const value = store?.[key] ?? null;
    return value === null ? [] : [[variable, value]];
  });
  const program = realpathSync(process.execPath);
  return (listFile) => ({
    folder: process.cwd(),
    argv: [program, "work", listFile, "--count=1", ...fixed, "--", ...argv],
    variables: Object.fromEntries(variables),
  });
}

function forget(job: string, given: SubmitOptions): number {
  const layout = layoutFrom(given);
  const isMeant = ({ job: number, folder }: { readonly job: string | null; readonly folder: string }) =>
    folder.endsWith(`/${job}`) || (number !== null && (number === job || arrayNumber(number) === job));
  const meant = readSubmissions(layout.lockDir).filter(isMeant);
  if (meant.length === 0) {
    throw new UsageError(`--forget ${JSON.stringify(job)}: no submission of this site has this job`, {
      hint: "trainlock plan names the job of each queued row",
    });
  }
  for (const { folder } of meant) dropSubmission(folder);
  if (!given.quiet) print(`forgotten: job ${printable(job)}\n`);
  return exitCodes.ok;
}
