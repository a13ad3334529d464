import { UsageError } from "../model/errors.ts";
import { accepts } from "../site/condition.ts";
import { atField, atPlace, type FieldReader, type FieldValue, nearestHint } from "./fields.ts";
import { type BlockSettings, mostRows, type Place, placeOf, type Row } from "./grid.ts";

/** One value of a list, where it stands. */
export interface PlacedText {
  readonly text: string;
  readonly place: Place;
}

/** What an `exclude` entry takes out: rows whose fields all have one of these texts; `*` stands for anything. */
export interface Exclusion {
  readonly place: Place;
  readonly fields: ReadonlyMap<string, readonly PlacedText[]>;
}

/** A block as it is written: a list of texts for each field. */
export interface Block {
  readonly place: Place;
  readonly fields: ReadonlyMap<string, readonly PlacedText[]>;
  readonly exclude: readonly Exclusion[];
  readonly settings: BlockSettings;
}

/**
 * The rows of a block: the product of its lists in the order written, without what it excludes. Throws a UsageError with the
 * place of what is wrong. Counts before it makes a row, so that no file fills the memory.
 */
export function expandBlock(reader: FieldReader, block: Block): Row[] {
  const lists = [...block.fields].map(([field, texts]) => [field, valuesOf(reader, field, texts)] as const);
  const count = lists.reduce((product, [, values]) => product * values.length, 1);
  if (count > mostRows) {
    throw new UsageError(`${block.place}: this block has ${count} rows, more than ${mostRows}`, {
      code: "ERR_GRID",
      hint: "check its lists and ranges, or split the grid",
    });
  }
  const excludes = makeExclusions(reader, block, lists);
  const source = { settings: block.settings, source: block.place, line: null };
  const rows: Row[] = [];
  const row = new Map<string, FieldValue>();
  const descend = (depth: number): void => {
    const list = lists[depth];
    if (list === undefined) {
      if (!excludes(row)) rows.push(makeRow(reader, source, row));
      return;
    }
    for (const value of list[1]) {
      row.set(list[0], value);
      descend(depth + 1);
    }
  };
  descend(0);
  return rows;
}

/** The row that has these values. Throws a UsageError with its place. */
export function makeRow(
  reader: FieldReader,
  written: Pick<Row, "settings" | "source" | "line">,
  values: ReadonlyMap<string, FieldValue>,
): Row {
  const { settings, source, line } = written;
  try {
    const configuration = reader.compose(values);
    return { configuration, weightsDir: reader.layout.weightsDir(configuration), settings, source, line };
  } catch (error) {
    throw atPlace(placeOf(written), error);
  }
}

function valuesOf(reader: FieldReader, field: string, texts: readonly PlacedText[]): readonly FieldValue[] {
  const values = new Set<FieldValue>();
  for (const { text, place } of texts) {
    try {
      for (const single of reader.expandRange(field, text)) values.add(reader.parse(field, single));
    } catch (error) {
      throw atField(place, field, error);
    }
  }
  return [...values];
}

type Lists = readonly (readonly [string, readonly FieldValue[]])[];

/** Whether a row is taken out. Each text of each exclusion must be one that the block has, or a pattern that fits one. */
function makeExclusions(reader: FieldReader, { exclude }: Block, lists: Lists) {
  const tests = exclude.map(({ place, fields }) => {
    const conditions = [...fields].map(([field, texts]) => {
      const known = lists.find(([name]) => name === field)?.[1] ?? [null];
      const wanted = texts.flatMap(({ text, place: at }) => matchingValues(reader, field, text, known, at));
      return [field, new Set(wanted)] as const;
    });
    if (conditions.length === 0) {
      throw new UsageError(`${place}: exclude: an entry without fields would take out every row`, {
        code: "ERR_GRID",
        hint: "name a field, or remove the entry",
      });
    }
    return (row: ReadonlyMap<string, FieldValue>) =>
      conditions.every(([field, values]) => values.has(row.get(field) ?? null));
  });
  return (row: ReadonlyMap<string, FieldValue>) => tests.some((test) => test(row));
}

/** The values among `known` that a text or pattern means. Throws a UsageError with the nearest where it means none. */
export function matchingValues(
  reader: FieldReader,
  field: string,
  text: string,
  known: readonly FieldValue[],
  place: Place,
): readonly FieldValue[] {
  try {
    const found = text.includes("*")
      ? known.filter((value) => accepts([text], value))
      : reader.expandRange(field, text).flatMap((single) => {
          const value = reader.parse(field, single);
          return known.includes(value) ? [value] : [];
        });
    if (found.length > 0) return found;
    const words = known.map((value) => (value === null ? "none" : String(value)));
    throw new UsageError(`no row has ${JSON.stringify(text)} here`, { hint: nearestHint(text, words) });
  } catch (error) {
    throw atField(place, field, error);
  }
}
