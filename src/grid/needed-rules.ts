import type { Configuration } from "../model/configuration.ts";
import { fieldOf } from "../site/condition.ts";
import type { DoneDeclaration } from "../site/done-declaration.ts";
import type { FieldReader } from "./fields.ts";
import type { BlockSettings, Need, Row } from "./grid.ts";
import { neededRow } from "./needs.ts";

/**
 * The rows with what their needs' own rows in the grid say under `done`, wherever they are looked at later: of a selection, and
 * of the part of a grid that an array job has, the needed rows may be left out.
 */
export function withNeededRules(reader: FieldReader, rows: readonly Row[]): Row[] {
  const needsRows = ({ settings }: Row) => settings.needs.some(({ kind }) => kind === "row");
  if (!rows.some(needsRows)) return [...rows];
  const keyOf = (configuration: Configuration) =>
    JSON.stringify(reader.names.map((name) => fieldOf(configuration, name)));
  const rules = new Map<string, DoneDeclaration>();
  for (const { configuration, settings } of rows)
    if (settings.done !== null) rules.set(keyOf(configuration), settings.done);
  if (rules.size === 0) return [...rows];
  const ruleOf = ({ configuration }: Row, need: Need) => {
    const needed = need.kind === "path" ? null : neededRow(reader, configuration, need.fields);
    if (need.kind === "path" || needed === null) return null;
    return need.done ?? rules.get(keyOf(needed)) ?? null;
  };
  // Rows of one block mostly need rows of one block.
  let last: { from: BlockSettings; rules: readonly (DoneDeclaration | null)[]; made: BlockSettings } | null = null;
  return rows.map((row) => {
    if (!needsRows(row)) return row;
    const from = row.settings;
    const found = from.needs.map((need) => ruleOf(row, need));
    if (last?.from !== from || last.rules.some((rule, index) => rule !== found[index])) {
      const needs = from.needs.map((need, index) =>
        need.kind === "path" ? need : { ...need, done: found[index] ?? null },
      );
      last = { from, rules: found, made: { ...from, needs } };
    }
    return { ...row, settings: last.made };
  });
}
