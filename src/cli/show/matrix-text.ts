import type { PlannedRow } from "../../grid/plan.ts";
import { type RowState, rowStates } from "../../grid/row-state.ts";
import { printable } from "../../model/printable.ts";
import { fieldOf } from "../../site/condition.ts";

/** The letter that stands for a state in a cell; done rows are the number in front. */
const letters: Readonly<Record<RowState, string>> = {
  running: "r",
  unknown: "u",
  done: "",
  queued: "q",
  blocked: "b",
  failed: "f",
  stale: "s",
  free: "",
};

/**
 * The plan as a table: one field down, another across; a cell counts what is done of how many, and what else is to be known.
 * `12/16 r2 f1` is 12 of 16 done, 2 running, 1 failed.
 */
export function matrixText(rows: readonly PlannedRow[], down: string, across: string): string {
  const textOf = ({ configuration }: PlannedRow, field: string) => String(fieldOf(configuration, field) ?? "none");
  const heads = [...new Set(rows.map((row) => textOf(row, across)))];
  const lines = [...new Set(rows.map((row) => textOf(row, down)))];
  const cells = new Map<string, PlannedRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([textOf(row, down), textOf(row, across)]);
    const cell = cells.get(key);
    if (cell === undefined) cells.set(key, [row]);
    else cell.push(row);
  }
  const table = [
    [`${down} \\ ${across}`, ...heads.map(printable)],
    ...lines.map((line) => [
      printable(line),
      ...heads.map((head) => cellText(cells.get(JSON.stringify([line, head])) ?? [])),
    ]),
  ];
  const widths =
    table[0]?.map((_, index) => Math.max(...table.map((cellsOfLine) => cellsOfLine[index]?.length ?? 0))) ?? [];
  const text = table.map(
    (line) =>
      `${line
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
  );
  return `${text.join("")}\n${legend}`;
}

const legend = `done/all; ${rowStates.flatMap((state) => (letters[state] === "" ? [] : [`${letters[state]} ${state}`])).join(", ")}\n`;

function cellText(rows: readonly PlannedRow[]): string {
  if (rows.length === 0) return "-";
  const count = (state: RowState) => rows.filter((row) => row.state === state).length;
  const rest = rowStates.flatMap((state) =>
    letters[state] === "" || count(state) === 0 ? [] : [`${letters[state]}${count(state)}`],
  );
  return [`${count("done")}/${rows.length}`, ...rest].join(" ");
}
