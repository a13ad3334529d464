import { fieldOptions } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import { fieldOf } from "../site/condition.ts";
import { type Block, matchingValues, type PlacedText } from "./block.ts";
import { type FieldReader, type FieldValue, nearestHint } from "./fields.ts";
import { noSettings, type Row } from "./grid.ts";

/** The texts that a command line gives for each field: `--strategy a,b` is two. */
export type Selection = ReadonlyMap<string, readonly string[]>;

/** How a field is given on a command line, for messages. */
export function flagOf(field: string): string {
  return fieldOptions[field] ?? `--set ${field}`;
}

/**
 * Reads the field options of a call: `given` maps an option's field to its text, `sets` are texts `name=values`. Lists are
 * separated by commas. Throws a UsageError for a field that the site does not have.
 */
export function readSelection(
  { names }: FieldReader,
  given: Readonly<Record<string, string | undefined>>,
  sets: readonly string[],
): Selection {
  const selection = new Map<string, readonly string[]>();
  const add = (field: string, text: string) => {
    const values = text.split(",").map((value) => value.trim());
    selection.set(field, [...(selection.get(field) ?? []), ...values]);
  };
  for (const [field, text] of Object.entries(given)) if (text !== undefined) add(field, text);
  for (const text of sets) {
    const [, field, values] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
    if (field === undefined || values === undefined) {
      throw new UsageError(`--set ${JSON.stringify(text)} is not name=values`, { hint: "for example --set seed=1..5" });
    }
    if (!names.includes(field)) {
      throw new UsageError(`--set ${field}: no field has this name`, { hint: nearestHint(field, names) });
    }
    add(field, values);
  }
  return selection;
}

/** The options alone as a grid: the product of their lists. Throws a UsageError for a pattern: there are no rows that it fits. */
export function blockOfSelection(selection: Selection): Block {
  for (const [field, texts] of selection) {
    const pattern = texts.find((text) => text.includes("*"));
    if (pattern === undefined) continue;
    throw new UsageError(
      `${flagOf(field)} ${JSON.stringify(pattern)} is a pattern, and there is no grid whose rows it could choose`,
      {
        code: "ERR_GRID",
        hint: "name the grid file, or write the values",
      },
    );
  }
  const fields = [...selection].map(([field, texts]): [string, PlacedText[]] => [
    field,
    texts.map((text) => ({ text, place: flagOf(field) })),
  ]);
  return { place: "the options", fields: new Map(fields), exclude: [], settings: noSettings };
}

function nothingToSelect(selection: Selection): UsageError {
  const missing = ["strategy", "dataset", "model"].filter((field) => !selection.has(field)).map(flagOf);
  return new UsageError("there are no rows from which the options could choose", {
    code: "ERR_GRID",
    hint: `name a grid file${missing.length === 0 ? "" : `, or give ${missing.join(" and ")}, too: then the options are the grid`}`,
  });
}

/** The rows that have one of the given values in each selected field. Throws a UsageError where a value selects none. */
export function selectRows(reader: FieldReader, rows: readonly Row[], selection: Selection): Row[] {
  if (rows.length === 0 && selection.size > 0) throw nothingToSelect(selection);
  let left = [...rows];
  for (const [field, texts] of selection) {
    const known = [...new Set(rows.map(({ configuration }) => fieldOf(configuration, field)))];
    const wanted = new Set<FieldValue>(
      texts.flatMap((text) => matchingValues(reader, field, text, known, flagOf(field))),
    );
    left = left.filter(({ configuration }) => wanted.has(fieldOf(configuration, field)));
  }
  if (left.length === 0) {
    throw new UsageError("no row of the grid has all the values that the options give", {
      hint: `each of these values is in the grid, but no row has all of them: leave out one of ${[...selection.keys()].map(flagOf).join(", ")}`,
    });
  }
  return left;
}
