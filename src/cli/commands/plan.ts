import type { Command } from "commander";
import { gridTextOf } from "../../grid/adopt.ts";
import { FieldReader } from "../../grid/fields.ts";
import type { Grid } from "../../grid/grid.ts";
import { knownRows } from "../../grid/known-rows.ts";
import { planRows } from "../../grid/plan.ts";
import { readGrid } from "../../grid/read-grid.ts";
import { countStates, type RowState, rowStates } from "../../grid/row-state.ts";
import { readSelection, type Selection, selectRows } from "../../grid/selection.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { nearest } from "../../model/nearest.ts";
import { type DoneRule, smallestCheckpointBytes } from "../../run/done-rule.ts";
import { addEvidenceOptions, type EvidenceOptions, examineFrom } from "../evidence-options.ts";
import { helpEnd } from "../help.ts";
import { print, printJson, say } from "../output.ts";
import { nextCommand } from "../show/command-text.ts";
import { matrixText } from "../show/matrix-text.ts";
import { paintFor } from "../show/paint.ts";
import { formatRow, planJson, planTsv } from "../show/plan-data.ts";
import { countsLine, planLines } from "../show/plan-text.ts";
import { printable } from "../show/printable.ts";
import { addJsonOption, addSiteOptions, layoutFrom, type SiteOptions } from "../site-options.ts";
import { collect } from "./check.ts";

/** A terminal shows more rows than this as a matrix. */
const mostLines = 200;

interface PlanOptions extends SiteOptions, EvidenceOptions {
  readonly strategy?: string;
  readonly dataset?: string;
  readonly model?: string;
  readonly ratio?: string;
  readonly auxLoss?: string;
  readonly stage?: string;
  readonly set?: readonly string[];
  readonly doneWhen?: readonly string[];
  readonly state?: string;
  readonly by?: string;
  readonly all?: boolean;
  readonly tsv?: boolean;
  readonly format?: string;
  readonly require?: string;
  readonly adopt?: boolean;
  readonly verbose?: boolean;
}

export function addPlanCommand(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command("plan")
    .description("say what state each configuration of a grid is in, and what to do next")
    .argument("[grid]", "grid file: .yaml, .csv, .tsv or .jsonl (else all configurations that are known)");
  addEvidenceOptions(addJsonOption(addSiteOptions(addSelectionOptions(command))))
    .option("--done-when <glob>", "a file in the weights dir that shows a row to be trained; may be repeated", collect)
    .option("--state <states>", `only rows in these states, separated by commas: ${rowStates.join(", ")}`)
    .option("--by <down,across>", "as a matrix of these two fields")
    .option("--all", "one line a row on a terminal, however many rows")
    .option("-v, --verbose", "print the evidence behind each state")
    .option("--tsv", "one line a row with tabs between the cells, and a header")
    .option("--format <text>", "one line a row, with {strategy}, {name}, {state} and so on replaced")
    .option("--require <state>", "exit with 1 until all rows are in this state: done")
    .option("--adopt", "print the grid file that has the configurations of the folders that exist")
    .addHelpText("after", planHelpEnd)
    .action(async (grid: string | undefined, options: PlanOptions) => done(await plan(grid, options)));
}

const planHelpEnd = helpEnd(
  [
    "trainlock plan grid.yaml",
    "trainlock plan grid.yaml --state free,stale --strategy 'gen_*'",
    "trainlock plan --strategy baseline,std_mixup --dataset IDD-AW --model pspnet_r50",
    "trainlock plan grid.yaml --by strategy,model",
    "trainlock plan --adopt > grid.yaml",
    "trainlock plan grid.yaml --require done && bash evaluate.sh",
  ],
  {
    0: "said",
    1: "--require done: not all rows are done",
    2: "the call or the grid is wrong",
    3: "no such root, or a row could not be looked at (the others are shown)",
  },
);

function addSelectionOptions(command: Command): Command {
  return command
    .option("--strategy <list>", "strategies, separated by commas: they select rows of a grid, or are one")
    .option("--dataset <list>", "datasets")
    .option("--model <list>", "models")
    .option("--ratio <list>", "ratios; none: rows without one")
    .option("--aux-loss <list>", "auxiliary losses")
    .option("--stage <list>", "stages")
    .option("--set <name=list>", "values of a dimension of the site, such as seed=1..5; may be repeated", collect);
}

async function plan(gridFile: string | undefined, options: PlanOptions): Promise<number> {
  const startedMs = Date.now();
  const states = statesFrom(options.state);
  if (options.require !== undefined && options.require !== "done")
    throw new UsageError(`--require ${JSON.stringify(options.require)}: only done can be required`, {
      hint: "--require done",
    });
  const layout = layoutFrom(options);
  const reader = new FieldReader(layout);
  const rule: DoneRule = { patterns: options.doneWhen ?? [], smallestBytes: smallestCheckpointBytes, file: null };
  const unreadable = new Map<string, string>();
  const grid = await gridOf(reader, gridFile, selectionFrom(reader, options), rule, (path, why) => {
    unreadable.set(path, why);
  });
  for (const [path, why] of unreadable) say(`trainlock: cannot look into ${printable(path)}: ${why}; it is left out`);
  if (options.adopt) {
    const names = layout.site.dimensions.map(({ name }) => name);
    print(
      gridTextOf(
        grid.rows.map(({ configuration }) => configuration),
        names,
      ),
    );
    return unreadable.size === 0 ? exitCodes.ok : exitCodes.environment;
  }
  const examine = examineFrom(options, layout);
  const planned = await planRows({ reader, rows: grid.rows, examine, ruleOf: () => rule, maxAttempts: 1 });
  const rows = states === null ? planned.rows : planned.rows.filter(({ state }) => states.includes(state));
  const shown = { rows, counts: countStates(rows.map(({ state }) => state)) };
  if (options.json) printJson(planJson(shown, grid.file, new Date()));
  else print(textOf(options, reader, shown, startedMs));
  const unseen = planned.rows.some(({ state, reason }) => state === "unknown" && reason !== null);
  if (unseen || unreadable.size > 0) return exitCodes.environment;
  return options.require === "done" && planned.counts.done < planned.rows.length ? exitCodes.locked : exitCodes.ok;
}

function textOf(
  options: PlanOptions,
  { names }: FieldReader,
  shown: Awaited<ReturnType<typeof planRows>>,
  startedMs: number,
): string {
  const { rows } = shown;
  if (options.tsv) return planTsv(shown, names);
  const { format } = options;
  if (format !== undefined) return rows.map((row) => `${formatRow(format, row, names)}\n`).join("");
  const onTerminal = process.stdout.isTTY === true;
  const asMatrix = options.by !== undefined || (onTerminal && !options.all && rows.length > mostLines);
  const table = asMatrix
    ? matrixText(rows, ...axesFrom(options.by, names))
    : planLines(rows, paintFor(process.stdout, options.color), onTerminal, options.verbose ?? false);
  const next = nextCommand(rows);
  const head = table === "" ? "" : `${table}\n`;
  return `${head}Next: ${next ?? "nothing, all is done"}\n${countsLine(shown, new Date(), Date.now() - startedMs)}`;
}

async function gridOf(
  reader: FieldReader,
  file: string | undefined,
  selection: Selection,
  rule: DoneRule,
  onUnreadable: (path: string, why: string) => void,
): Promise<Grid> {
  if (file !== undefined) return readGrid(reader, { kind: "file", path: file }, selection);
  if (["strategy", "dataset", "model"].every((field) => selection.has(field)))
    return readGrid(reader, { kind: "options" }, selection);
  const known = await knownRows(reader.layout, rule, onUnreadable);
  return { file: null, rows: selection.size === 0 ? known : selectRows(reader, known, selection) };
}

function selectionFrom(reader: FieldReader, options: PlanOptions): Selection {
  const { strategy, dataset, model, ratio, auxLoss, stage } = options;
  return readSelection(reader, { strategy, dataset, model, ratio, aux_loss: auxLoss, stage }, options.set ?? []);
}

function statesFrom(text: string | undefined): readonly RowState[] | null {
  if (text === undefined) return null;
  return text.split(",").map((word) => {
    const state = rowStates.find((known) => known === word.trim());
    if (state !== undefined) return state;
    const near = nearest(word, rowStates);
    throw new UsageError(`--state: there is no state ${JSON.stringify(word)}`, {
      hint: near === null ? `one of ${rowStates.join(", ")}` : `did you mean ${near}?`,
    });
  });
}

function axesFrom(by: string | undefined, names: readonly string[]): [string, string] {
  const [down, across, more] = (by ?? "strategy,model").split(",").map((name) => name.trim());
  for (const name of [down, across]) {
    if (name === undefined || more !== undefined)
      throw new UsageError(`--by ${JSON.stringify(by)}: give two fields`, { hint: "for example --by strategy,model" });
    if (!names.includes(name))
      throw new UsageError(`--by: no field is called ${JSON.stringify(name)}`, { hint: `one of ${names.join(", ")}` });
  }
  return [down ?? "", across ?? ""];
}
