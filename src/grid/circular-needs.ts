import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import { fieldOf } from "../site/condition.ts";
import type { FieldReader } from "./fields.ts";
import { placeOf, type Row } from "./grid.ts";
import { neededRow } from "./needs.ts";

/** Throws a UsageError for rows that need each other: they would wait for ever. */
export function refuseCircularNeeds(reader: FieldReader, rows: readonly Row[]): void {
  const keyOf = (configuration: Configuration) =>
    JSON.stringify(reader.names.map((name) => fieldOf(configuration, name)));
  const needing = rows.filter(({ settings }) => settings.needs.some(({ kind }) => kind === "row"));
  const open = new Map(needing.map((row) => [keyOf(row.configuration), row]));
  for (const row of needing) {
    // A way of needs from row to row. What it has left behind leads into no circle.
    const way: { readonly key: string; readonly row: Row; readonly next: string[] }[] = [];
    const placeOnWay = new Map<string, number>();
    const enter = (key: string) => {
      const entered = open.get(key);
      if (entered === undefined) return;
      const turn = placeOnWay.get(key);
      if (turn !== undefined) throw circle(way.slice(turn).map((step) => step.row));
      placeOnWay.set(key, way.length);
      way.push({ key, row: entered, next: needsOf(reader, entered).map(keyOf) });
    };
    enter(keyOf(row.configuration));
    for (let last = way.at(-1); last !== undefined; last = way.at(-1)) {
      const next = last.next.pop();
      if (next !== undefined) enter(next);
      else open.delete(way.pop()?.key ?? "");
    }
  }
}

function needsOf(reader: FieldReader, { configuration, settings, ...place }: Row): Configuration[] {
  return settings.needs.flatMap((need) => {
    if (need.kind === "path") return [];
    try {
      const needed = neededRow(reader, configuration, need.fields);
      return needed === null ? [] : [needed];
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      throw new UsageError(`${placeOf(place)}: needs: ${error.message}`, {
        code: "ERR_GRID",
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
    }
  });
}

function circle(rows: readonly Row[]): UsageError {
  const [first, second] = rows.map(({ configuration }) => describeConfiguration(configuration));
  const what = `needs ${second}, which needs it in turn: they would wait for ever`;
  return new UsageError(`${rows[0] === undefined ? "" : placeOf(rows[0])}: ${first} ${what}`, {
    code: "ERR_GRID",
    hint: "give the rows that need others a block of their own",
  });
}
