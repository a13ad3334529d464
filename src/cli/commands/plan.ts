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
import { defineCommand, flag, optionalOperand, repeatedValue, type ValuesOf, value } from "../command.ts";
import { evidenceOptions, examineFrom } from "../evidence-options.ts";
import { isTerminal, print, printJson, say } from "../output.ts";
import { nextCommand } from "../show/command-text.ts";
import { matrixText } from "../show/matrix-text.ts";
import { paintFor } from "../show/paint.ts";
import { formatRow, planJson, planTsv } from "../show/plan-data.ts";
import { countsLine, planLines } from "../show/plan-text.ts";
import { printable } from "../show/printable.ts";
import { jsonOption, layoutFrom, siteOptions } from "../site-options.ts";

/** A terminal shows more rows than this as a matrix. */
const mostLines = 200;

const options = {
  strategy: value("<list>", "strategies, separated by commas: they select rows of a grid, or are one"),
  dataset: value("<list>", "datasets"),
  model: value("<list>", "models"),
  ratio: value("<list>", "ratios; none: rows without one"),
  auxLoss: value("<list>", "auxiliary losses"),
  stage: value("<list>", "stages"),
  set: repeatedValue("<name=list>", "values of a dimension of the site, such as seed=1..5; may be repeated"),
  ...siteOptions,
  ...jsonOption,
  ...evidenceOptions,
  doneWhen: repeatedValue("<glob>", "a file in the weights dir that shows a row to be trained; may be repeated"),
  state: value("<states>", `only rows in these states, separated by commas: ${rowStates.join(", ")}`),
  by: value("<down,across>", "as a matrix of these two fields"),
  all: flag("one line a row on a terminal, however many rows"),
  verbose: flag("print the evidence behind each state", "v"),
  tsv: flag("one line a row with tabs between the cells, and a header"),
  format: value("<text>", "one line a row, with {strategy}, {name}, {state} and so on replaced"),
  require: value("<state>", "exit with 1 until all rows are in this state: done"),
  adopt: flag("print the grid file that has the configurations of the folders that exist"),
};

type PlanOptions = ValuesOf<typeof options>;

export const command = defineCommand({
  summary: "say what state each configuration of a grid is in, and what to do next",
  options,
  operands: {
    grid: optionalOperand("grid file: .yaml, .csv, .tsv or .jsonl (else all configurations that are known)"),
  },
  examples: [
    "trainlock plan grid.yaml",
    "trainlock plan grid.yaml --state free,stale --strategy 'gen_*'",
    "trainlock plan --strategy baseline,std_mixup --dataset IDD-AW \\\n    --model pspnet_r50",
    "trainlock plan grid.yaml --by strategy,model",
    "trainlock plan --adopt > grid.yaml",
    "trainlock plan grid.yaml --require done && bash evaluate.sh",
  ],
  exitCodes: {
    0: "said",
    1: "--require done: not all rows are done",
    2: "the call or the grid is wrong",
    3: "no such root, or a row could not be looked at (the others are shown)",
  },
  execute: ({ grid, ...given }) => plan(grid, given),
});

async function plan(gridFile: string | undefined, given: PlanOptions): Promise<number> {
  const startedMs = Date.now();
  const states = statesFrom(given.state);
  if (given.require !== undefined && given.require !== "done")
    throw new UsageError(`--require ${JSON.stringify(given.require)}: only done can be required`, {
      hint: "--require done",
    });
  const layout = layoutFrom(given);
  const reader = new FieldReader(layout);
  const rule: DoneRule = { patterns: given.doneWhen ?? [], smallestBytes: smallestCheckpointBytes, file: null };
  const unreadable = new Map<string, string>();
  const grid = await gridOf(reader, gridFile, selectionFrom(reader, given), rule, (path, why) => {
    unreadable.set(path, why);
  });
  for (const [path, why] of unreadable) say(`trainlock: cannot look into ${printable(path)}: ${why}; it is left out`);
  if (given.adopt) {
    const names = layout.site.dimensions.map(({ name }) => name);
    print(
      gridTextOf(
        grid.rows.map(({ configuration }) => configuration),
        names,
      ),
    );
    return unreadable.size === 0 ? exitCodes.ok : exitCodes.environment;
  }
  const examine = examineFrom(given, layout);
  const planned = await planRows({ reader, rows: grid.rows, examine, ruleOf: () => rule, maxAttempts: 1 });
  const rows = states === null ? planned.rows : planned.rows.filter(({ state }) => states.includes(state));
  const shown = { rows, counts: countStates(rows.map(({ state }) => state)) };
  if (given.json) printJson(planJson(shown, grid.file, new Date()));
  else print(textOf(given, reader, shown, startedMs));
  const unseen = planned.rows.some(({ state, reason }) => state === "unknown" && reason !== null);
  if (unseen || unreadable.size > 0) return exitCodes.environment;
  return given.require === "done" && planned.counts.done < planned.rows.length ? exitCodes.locked : exitCodes.ok;
}

function textOf(
  given: PlanOptions,
  { names }: FieldReader,
  shown: Awaited<ReturnType<typeof planRows>>,
  startedMs: number,
): string {
  const { rows } = shown;
  if (given.tsv) return planTsv(shown, names);
  const { format } = given;
  if (format !== undefined) return rows.map((row) => `${formatRow(format, row, names)}\n`).join("");
  const onTerminal = isTerminal(1);
  const asMatrix = given.by !== undefined || (onTerminal && !given.all && rows.length > mostLines);
  const table = asMatrix
    ? matrixText(rows, ...axesFrom(given.by, names))
    : planLines(rows, paintFor(1, given.color), onTerminal, given.verbose);
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

function selectionFrom(reader: FieldReader, given: PlanOptions): Selection {
  const { strategy, dataset, model, ratio, auxLoss, stage } = given;
  return readSelection(reader, { strategy, dataset, model, ratio, aux_loss: auxLoss, stage }, given.set ?? []);
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
