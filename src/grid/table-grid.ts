import { UsageError } from "../model/errors.ts";
import { makeRow } from "./block.ts";
import { atField, type FieldReader, type FieldValue, nearestHint } from "./fields.ts";
import { type BlockSettings, mostRows, noSettings, placeOf, type Row } from "./grid.ts";
import { type TakeRecord, takePlainRecords } from "./table-records.ts";
import { readSettingsText } from "./yaml-grid.ts";

/** The settings that a line of JSON may have beside its fields. */
const rowSettings: readonly string[] = ["done", "needs", "submit", "max_attempts"];

/**
 * The rows of a table with a header: comma, semicolon or tab between cells, quotes as spreadsheets write them (RFC 4180), a
 * byte order mark allowed. Throws a UsageError with the line.
 */
export async function readTable(
  reader: FieldReader,
  file: string,
  text: string,
  delimiters: readonly string[],
): Promise<Row[]> {
  const rows: Row[] = [];
  const values = new Map<string, FieldValue>();
  let columns: readonly string[] | null = null;
  let fractions: readonly boolean[] = [];
  const delimiter = delimiterOf(text, delimiters);
  // A spreadsheet writes semicolons where a comma is its decimal point.
  const hasDecimalCommas = delimiter === ";";
  const take: TakeRecord = (cells, line) => {
    const place = { source: file, line };
    // Spreadsheets write rows and columns that once were in use.
    const record = withoutEmptyEnd(cells, columns?.length ?? 0);
    if (record.every((cell) => cell === "")) return;
    if (columns === null) {
      columns = readHeader(reader, placeOf(place), record);
      fractions = columns.map((name) => hasDecimalCommas && reader.isFraction(name));
    } else rows.push(rowOfCells(reader, place, columns, withPoints(record, fractions), values));
    if (rows.length > mostRows) throw tooMany(placeOf(place));
  };
  const limit = {
    // The header is one of them.
    most: mostRows + 1,
    lineBeyond: (line: number): never => {
      throw tooMany(placeOf({ source: file, line }));
    },
  };
  if (!takePlainRecords(text, delimiter, take, limit)) await takeQuotedRecords(file, text, delimiter, take);
  if (columns === null)
    throw new UsageError(`${file}: the file is empty`, { code: "ERR_GRID", hint: "name the fields first" });
  return rows;
}

/** Without the empty cells at its end that are more than `wanted`. */
function withoutEmptyEnd(cells: readonly string[], wanted: number): readonly string[] {
  let length = cells.length;
  while (length > wanted && cells[length - 1] === "") length -= 1;
  return length === cells.length ? cells : cells.slice(0, length);
}

async function takeQuotedRecords(file: string, text: string, delimiter: string, take: TakeRecord): Promise<void> {
  // Loaded only where there is such a table: most calls have none.
  const { parse } = await import("csv-parse/sync");
  let wrong: UsageError | null = null;
  try {
    parse(text, {
      bom: true,
      delimiter,
      relax_column_count: true,
      skip_empty_lines: true,
      trim: true,
      // Nothing is kept but the row: a record with its place takes ten times the memory.
      on_record: (record: readonly string[], { lines }) => {
        try {
          if (wrong === null) take(record, lines);
        } catch (error) {
          if (!(error instanceof UsageError)) throw error;
          wrong = error;
        }
        return null;
      },
    });
  } catch (error) {
    throw wrong ?? faulty(`${file}:${lineOf(error)}`, error);
  }
  if (wrong !== null) throw wrong;
}

/** The line of an error of csv-parse. */
function lineOf(error: unknown): string {
  const line = error instanceof Error && "lines" in error ? error.lines : null;
  return typeof line === "number" ? String(line) : "1";
}

/** The delimiter that the header has most of: spreadsheets of some countries write semicolons. */
function delimiterOf(text: string, delimiters: readonly string[]): string {
  const header = text.slice(0, text.search(/[\r\n]|$/));
  const count = (delimiter: string) => header.split(delimiter).length;
  return [...delimiters].sort((a, b) => count(b) - count(a))[0] ?? ",";
}

function readHeader({ names: fields }: FieldReader, place: string, header: readonly string[]): readonly string[] {
  const names = header.map((name) => name.trim().toLowerCase().replaceAll(/[ -]/g, "_"));
  for (const [index, name] of names.entries()) {
    if (!fields.includes(name)) throw noSuchField(place, header[index] ?? "", fields);
    if (names.indexOf(name) !== index)
      throw new UsageError(`${place}: the column ${name} stands twice`, { code: "ERR_GRID", hint: "keep one of them" });
  }
  return names;
}

/** `0,5` as `0.5`, in the cells that are fractions. */
function withPoints(record: readonly string[], fractions: readonly boolean[]): readonly string[] {
  if (!fractions.includes(true)) return record;
  return record.map((cell, index) =>
    fractions[index] && /^\s*\d*,\d+\s*$/.test(cell) ? cell.replace(",", ".") : cell,
  );
}

type LinePlace = Pick<Row, "source" | "line">;

/** `values`: of the row before, and then of this one; a map for each of 100,000 rows would be as many to throw away. */
function rowOfCells(
  reader: FieldReader,
  place: LinePlace,
  columns: readonly string[],
  record: readonly string[],
  values: Map<string, FieldValue>,
): Row {
  if (record.length > columns.length) {
    throw new UsageError(`${placeOf(place)}: ${record.length} cells, but the header has ${columns.length}`, {
      code: "ERR_GRID",
      hint: 'put a value that contains the delimiter into quotes: "a,b"',
    });
  }
  for (let index = 0; index < columns.length; index += 1)
    readValue(reader, place, columns[index] ?? "", record[index] ?? "", values);
  return makeRow(reader, { settings: noSettings, ...place }, values);
}

function readValue(
  reader: FieldReader,
  place: LinePlace,
  field: string,
  text: string,
  values: Map<string, FieldValue>,
): void {
  try {
    values.set(field, reader.parse(field, text));
  } catch (error) {
    throw atField(placeOf(place), field, error);
  }
}

function rowOf(reader: FieldReader, place: LinePlace, texts: ReadonlyMap<string, string>): Row {
  const values = new Map<string, FieldValue>();
  for (const [field, text] of texts) readValue(reader, place, field, text, values);
  return makeRow(reader, { settings: noSettings, ...place }, values);
}

/**
 * The rows of JSON Lines: an object a line whose keys are fields, and settings as blocks of YAML have them. Throws a UsageError
 * with the line.
 */
export function readJsonLines(reader: FieldReader, file: string, text: string): Row[] {
  const rows: Row[] = [];
  const known = new Map<string, BlockSettings>();
  for (const [index, content] of text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .entries()) {
    if (content.trim() === "") continue;
    const place = `${file}:${index + 1}`;
    const { texts, settings } = readObject(place, content, reader);
    const row = rowOf(reader, { source: file, line: index + 1 }, texts);
    if (settings === null) rows.push(row);
    else {
      // Many rows have few settings, and reading them is slow.
      const read = known.get(settings) ?? readSettingsText(reader, place, settings);
      known.set(settings, read);
      rows.push({ ...row, settings: read });
    }
    if (rows.length > mostRows) throw tooMany(place);
  }
  return rows;
}

/** `settings`: what the line says beside the fields, as JSON; null: nothing. */
function readObject(
  place: string,
  content: string,
  reader: FieldReader,
): { readonly texts: ReadonlyMap<string, string>; readonly settings: string | null } {
  let object: unknown;
  try {
    object = JSON.parse(content);
  } catch (error) {
    throw faulty(place, error);
  }
  if (typeof object !== "object" || object === null || Array.isArray(object)) {
    throw new UsageError(`${place}: expected an object of fields`, {
      code: "ERR_GRID",
      hint: 'for example {"strategy": "baseline", "dataset": "IDD-AW", "model": "pspnet_r50"}',
    });
  }
  const entries = Object.entries(object);
  const fields = reader.names;
  // Of a column with gaps some writers make fractions: a seed or stage of 3.0 is 3.
  const isText = ([name, value]: [string, unknown]) => typeof value === "number" && !reader.isNumber(name);
  const numbers = entries.some(isText) ? numbersIn(content) : noNumbers;
  const twice = entries.length < content.split('":').length - 1 ? repeatedKey(content) : null;
  if (twice !== null)
    throw new UsageError(`${place}: ${twice} stands twice`, { code: "ERR_GRID", hint: "keep one of them" });
  const settings = entries.filter(([name]) => rowSettings.includes(name));
  const texts = new Map(
    entries.flatMap(([name, value]): [string, string][] => {
      if (rowSettings.includes(name)) return [];
      if (!fields.includes(name)) throw noSuchField(place, name, fields);
      if (value === null) return [[name, "none"]];
      if (typeof value === "string") return [[name, value]];
      if (typeof value === "number")
        return [[name, (reader.isNumber(name) ? undefined : numbers.get(name)) ?? String(value)]];
      throw new UsageError(`${place}: ${name}: expected a text, a number, or null`, {
        code: "ERR_GRID",
        hint: "write lists as lines of their own",
      });
    }),
  );
  return { texts, settings: settings.length === 0 ? null : JSON.stringify(Object.fromEntries(settings)) };
}

/** Numbers of an object as they are written: `1e5` and `1.0` name other folders than 100000 and 1. `content` is valid JSON. */
function numbersIn(content: string): ReadonlyMap<string, string> {
  const numbers = new Map<string, string>();
  let depth = 0;
  for (const [token, key, number] of content.matchAll(
    /("(?:[^"\\]|\\.)*")\s*:(?:\s*(-?\d[\d.eE+-]*))?|"(?:[^"\\]|\\.)*"|[{}[\]]/g,
  )) {
    if (token === "{" || token === "[") depth += 1;
    else if (token === "}" || token === "]") depth -= 1;
    else if (key !== undefined && number !== undefined && depth === 1) numbers.set(String(JSON.parse(key)), number);
  }
  return numbers;
}

const noNumbers: ReadonlyMap<string, string> = new Map();

/** The first key that an object has twice, of which a parser keeps the last; null: none. `content` is valid JSON. */
function repeatedKey(content: string): string | null {
  const seen = new Set<string>();
  let depth = 0;
  for (const [token, key] of content.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (token === "{" || token === "[") depth += 1;
    else if (token === "}" || token === "]") depth -= 1;
    else if (key !== undefined && depth === 1) {
      const name = String(JSON.parse(key));
      if (seen.has(name)) return name;
      seen.add(name);
    }
  }
  return null;
}

function tooMany(place: string): UsageError {
  return new UsageError(`${place}: more than ${mostRows} rows`, { code: "ERR_GRID", hint: "split the grid" });
}

function noSuchField(place: string, name: string, fields: readonly string[]): UsageError {
  return new UsageError(`${place}: no field is called ${JSON.stringify(name)}`, {
    code: "ERR_GRID",
    hint: `${nearestHint(name, fields)}; trainlock.yaml declares others under \`dimensions\``,
  });
}

function faulty(place: string, error: unknown): UsageError {
  const why = error instanceof Error ? error.message : String(error);
  return new UsageError(`${place}: ${why}`, { code: "ERR_GRID", hint: "`trainlock help grids` describes the formats" });
}
