import { canBeWritten, gridTextOf } from "../../grid/adopt.ts";
import type { FieldReader } from "../../grid/fields.ts";
import type { Row } from "../../grid/grid.ts";
import { nextCommand } from "../../grid/next-command.ts";
import type { Plan, PlannedRow } from "../../grid/plan.ts";
import { countStates, type RowState, rowStates } from "../../grid/row-state.ts";
import type { Configuration } from "../../model/configuration.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { nearest } from "../../model/nearest.ts";
import { printable } from "../../model/printable.ts";
import type { Layout } from "../../site/layout.ts";
import { collectGarbageOf } from "../../system/processes/collect-garbage.ts";
import { defineCommand, flag, offering, optionalOperand, type ValuesOf, value } from "../command.ts";
import { doneFlags } from "../done-options.ts";
import { selectionOptions } from "../grid-options.ts";
import { shellOptions } from "../option-arguments.ts";
import { isTerminal, print, printJsonRows, say } from "../output.ts";
import { axesFrom } from "../plan-axes.ts";
import { openPlanSource, planSourceOptions } from "../plan-source.ts";
import { failuresText } from "../show/failures-text.ts";
import { matrixText } from "../show/matrix-text.ts";
import { paintFor } from "../show/paint.ts";
import { formatRow, planHeadJson, planRowJson, planTsv, requireFormat, tsvHeader } from "../show/plan-data.ts";
import { countsLine, estimateText, nameWidthOf, planLines } from "../show/plan-text.ts";
import { sayUnseen } from "../show/unseen-text.ts";
import { terminalColumns, wrapped } from "../show/wrapped.ts";
import { type PastOf, shownPast } from "../shown-past.ts";
import { jsonOption } from "../site-options.ts";

/** A terminal shows more rows than this as a matrix. */
const mostLines = 200;

const options = {
  ...planSourceOptions,
  ...jsonOption,
  state: offering(
    rowStates,
    value("<states>", `only rows in these states, separated by commas: ${rowStates.join(", ")}`),
  ),
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
    grid: optionalOperand(
      "grid file: .yaml, .csv, .tsv or .jsonl (else the site's grid, else all configurations that are known)",
    ),
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
  const source = openPlanSource(gridFile, given, { knownAlone: given.adopt });
  const { layout, reader } = source;
  if (given.format !== undefined) requireFormat(given.format, reader.names);
  const inForce = await source.rows();
  const { grid, unreadable, links } = inForce;
  sayUnseen({ unreadable, links }, "; it is left out");
  if (given.adopt) {
    printAdopted(layout, grid.rows);
    return unreadable.size === 0 ? exitCodes.ok : exitCodes.environment;
  }
  const planned = await source.look(inForce);
  const rows = states === null ? planned.rows : planned.rows.filter(({ state }) => states.includes(state));
  const shown = { rows, counts: countStates(rows.map(({ state }) => state)) };
  if (given.json) printJsonRows(planHeadJson(shown, grid.file, new Date()), rows, planRowJson);
  else {
    const pastOf = given.verbose ? await shownPast(layout.lockDir) : null;
    for (const text of textOf(given, gridFile, reader, shown, { startedMs, pastOf })) print(text);
  }
  const unseen = planned.rows.some(({ state, reason }) => state === "unknown" && reason !== null);
  if (unseen || unreadable.size > 0) return exitCodes.environment;
  return given.require === "done" && !isAllDone(planned) ? exitCodes.locked : exitCodes.ok;
}

function printAdopted({ site }: Layout, rows: readonly Row[]): void {
  const dimensions = site.dimensions.map(({ name }) => name);
  const configurations: Configuration[] = [];
  for (const { configuration, weightsDir } of rows) {
    if (canBeWritten(configuration, dimensions)) configurations.push(configuration);
    else say(`trainlock: ${printable(weightsDir)} is left out: no grid can have its name`);
  }
  print(gridTextOf(configurations, dimensions));
}

/** No rows at all (a wrong root, for example) do not count as done. */
function isAllDone({ rows, counts }: Plan): boolean {
  return rows.length > 0 && counts.done === rows.length;
}

/** The text is made for this many rows at a time. The text of 100,000 rows would be several copies of megabytes. */
const rowsAtOnce = 10_000;

function* pieces(rows: readonly PlannedRow[]): Generator<readonly PlannedRow[]> {
  for (let at = 0; at < rows.length; at += rowsAtOnce) {
    yield rows.slice(at, at + rowsAtOnce);
    collectGarbageOf(rows.length);
  }
}

function* textOf(
  given: PlanOptions,
  gridFile: string | undefined,
  { names }: FieldReader,
  shown: Plan,
  { startedMs, pastOf }: { readonly startedMs: number; readonly pastOf: PastOf | null },
): Generator<string> {
  const { rows } = shown;
  const { format } = given;
  if (given.tsv) {
    yield tsvHeader(names);
    for (const piece of pieces(rows)) yield planTsv(piece, names);
    return;
  }
  if (format !== undefined) {
    for (const piece of pieces(rows)) yield piece.map((row) => `${formatRow(format, row, names)}\n`).join("");
    return;
  }
  const onTerminal = isTerminal(1);
  if (given.by !== undefined || (onTerminal && !given.all && rows.length > mostLines)) {
    yield matrixText(rows, ...axesFrom(given.by, names));
  } else {
    const [paint, width] = [paintFor(1, given.color), nameWidthOf(rows)];
    for (const piece of pieces(rows)) yield planLines(piece, paint, onTerminal, pastOf, width);
  }
  const next = nextCommand(rows, gridFile ?? null, {
    selection: shellOptions(selectionOptions, given),
    done: doneFlags(given),
  });
  const left = `${failuresText(rows)}${estimateText(rows)}`;
  const head = rows.length === 0 ? left : `\n${left}`;
  const foot = `${head}Next: ${next ?? (rows.length === 0 ? "nothing, there are no rows" : "nothing, all is done")}`;
  const columns = terminalColumns();
  const lines = foot.split("\n").map((line) => wrapped(line, columns));
  const counts = countsLine(shown, new Date(), Date.now() - startedMs).trimEnd();
  yield `${lines.join("\n")}\n${wrapped(counts, columns)}\n`;
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
