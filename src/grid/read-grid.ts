import { readdirSync, realpathSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { EnvironmentError, UsageError } from "../model/errors.ts";
import { nearest } from "../model/nearest.ts";
import type { DeclaredGrid } from "../site/site-config.ts";
import { readYaml } from "../site/yaml-reader.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { collectGarbageOf } from "../system/processes/collect-garbage.ts";
import { type Block, expandBlock } from "./block.ts";
import { refuseCircularNeeds } from "./circular-needs.ts";
import { distinctRows } from "./distinct-rows.ts";
import type { FieldReader } from "./fields.ts";
import { type Grid, mostRows, type Row } from "./grid.ts";
import { withNeededRules } from "./needed-rules.ts";
import { blockOfSelection, type Selection, selectRows } from "./selection.ts";
import { readJsonLines, readTable } from "./table-grid.ts";
import { readBlocks } from "./yaml-grid.ts";

/** A row a line of a table takes some 100 bytes; a block of YAML describes thousands of rows in as many. */
const largestBytes = { yaml: 4 * 2 ** 20, table: 64 * 2 ** 20 } as const;

/** Where the rows come from: a file, the site's own grid, or the options of the call alone. */
export type GridSource =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "text"; readonly file: string; readonly text: string; readonly format: GridFormat }
  | { readonly kind: "site"; readonly declared: DeclaredGrid }
  | { readonly kind: "options" };

/**
 * Where a call's rows come from: the file it names, its options where they are a grid, else the site's grid. Null: from nowhere.
 */
export function gridSource(reader: FieldReader, file: string | undefined, selection: Selection): GridSource | null {
  if (file !== undefined) return { kind: "file", path: file };
  if (["strategy", "dataset", "model"].every((field) => selection.has(field))) return { kind: "options" };
  const declared = reader.layout.site.grid;
  if (declared === null) return null;
  if (declared.value.isList || declared.value.isMapping) return { kind: "site", declared };
  return {
    kind: "file",
    path: resolve(dirname(declared.file), declared.value.text("blocks, or the path of a grid file")),
  };
}

export type GridFormat = "yaml" | "csv" | "tsv" | "jsonl";

/**
 * The rows of a grid: those that the options select, each once. Nothing of a grid is run. Throws a UsageError with file, line
 * and key for a mistake; an EnvironmentError for a file that cannot be read.
 */
export async function readGrid(reader: FieldReader, source: GridSource, selection: Selection): Promise<Grid> {
  if (source.kind === "options") {
    return { file: null, rows: distinctRows(reader.layout, expandBlock(reader, blockOfSelection(selection))) };
  }
  const { file, rows: found } =
    source.kind === "site" ? siteRows(reader, source.declared) : await fileRows(reader, source);
  const written = distinctRows(reader.layout, found);
  refuseCircularNeeds(reader, written);
  const rows = withNeededRules(reader, written);
  collectGarbageOf(rows.length);
  return { file, rows: selection.size === 0 ? rows : selectRows(reader, rows, selection) };
}

function siteRows(reader: FieldReader, { file, value }: DeclaredGrid): { file: string; rows: Row[] } {
  return { file, rows: expandBlocks(reader, file, readBlocks(reader, file, value)) };
}

async function fileRows(
  reader: FieldReader,
  source: Extract<GridSource, { kind: "file" | "text" }>,
): Promise<{ file: string; rows: Row[] }> {
  const { file, text, format } = source.kind === "text" ? source : readGridFile(source.path);
  const rows = await readRows(reader, file, text, format);
  // As of a file that somebody is about to write.
  if (rows.length === 0)
    throw new UsageError(`${file}: it has no rows`, {
      code: "ERR_GRID",
      hint: "`trainlock help grids` describes grids",
    });
  return { file, rows };
}

async function readRows(reader: FieldReader, file: string, text: string, format: GridFormat): Promise<Row[]> {
  switch (format) {
    case "yaml":
      return expandBlocks(
        reader,
        file,
        readBlocks(reader, file, readYaml(text, file, "`trainlock help grids` describes grids")),
      );
    case "csv":
      return readTable(reader, file, text, [",", ";", "\t"]);
    case "tsv":
      return readTable(reader, file, text, ["\t"]);
    case "jsonl":
      return readJsonLines(reader, file, text);
  }
}

function expandBlocks(reader: FieldReader, file: string, blocks: readonly Block[]): Row[] {
  const rows: Row[] = [];
  for (const block of blocks) {
    for (const row of expandBlock(reader, block)) rows.push(row);
    if (rows.length > mostRows) {
      throw new UsageError(`${file}: the grid has more than ${mostRows} rows`, {
        code: "ERR_GRID",
        hint: `the limit is passed at ${block.place}; split the grid`,
      });
    }
  }
  return rows;
}

const formats: Readonly<Record<string, GridFormat>> = {
  ".yaml": "yaml",
  ".yml": "yaml",
  ".csv": "csv",
  ".tsv": "tsv",
  ".jsonl": "jsonl",
};

/** The text of a grid file. Throws a UsageError for a name that tells no format, an EnvironmentError where it cannot be read. */
export function gridNamesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => Object.hasOwn(formats, extname(name).toLowerCase()));
  } catch {
    // Nobody is told of a name that cannot be read.
    return [];
  }
}

/** A grid beside it whose name is near. */
function fileHint(path: string): string {
  const folder = dirname(path);
  const names = gridNamesIn(folder);
  const stem = basename(path, extname(path));
  const near = nearest(basename(path), names) ?? names.find((name) => basename(name, extname(name)) === stem) ?? null;
  if (near === null) return "give the path of a grid file";
  return `did you mean ${path === basename(path) ? near : join(folder, near)}?`;
}

/** A grid is often a link to the one of a project. The path itself where it leads nowhere: the reading says so. */
function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function readGridFile(path: string): { file: string; text: string; format: GridFormat } {
  const format = formats[extname(path).toLowerCase()];
  if (format === undefined) {
    throw new UsageError(`${path}: not a grid by its name`, {
      code: "ERR_GRID",
      hint: `a grid file ends in ${Object.keys(formats).join(", ")}`,
    });
  }
  const limit = format === "yaml" ? largestBytes.yaml : largestBytes.table;
  const reading = readRegularFile(withoutLinks(path), limit);
  if (reading.kind === "absent") {
    throw new UsageError(`there is no grid file ${path}`, { code: "ERR_GRID", hint: fileHint(path) });
  }
  if (reading.kind === "unreadable") {
    throw new UsageError(`${path} is no grid file, but ${reading.why}`, {
      code: "ERR_GRID",
      hint: "give the path of a regular file",
    });
  }
  if (reading.kind === "failed") {
    throw new EnvironmentError(`cannot read the grid ${path}: ${reading.why}`, {
      code: "ERR_GRID_FILE",
      hint: "make it a file that you can read",
    });
  }
  if (reading.bytes.length > limit) {
    throw new UsageError(`${path}: larger than ${limit / 2 ** 20} MiB`, {
      code: "ERR_GRID",
      hint: format === "yaml" ? "write lists instead of single rows, or a .csv table" : "split the grid",
    });
  }
  if (reading.bytes.includes(0)) {
    throw new UsageError(`${path}: contains NUL bytes`, { code: "ERR_GRID", hint: "a grid is text in UTF-8" });
  }
  return { file: path, text: reading.bytes.toString("utf8"), format };
}
