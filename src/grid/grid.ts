import type { Configuration } from "../model/configuration.ts";
import type { DoneDeclaration } from "../site/done-declaration.ts";

/** Where a row, a block or a value is written: `grid.yaml:12`, or `--strategy` of a command line. */
export type Place = string;

/** What a row needs before it can be trained: a path that exists, or rows of this grid that are done. */
export type Need =
  | { readonly kind: "path"; readonly pattern: string }
  | {
      readonly kind: "row";
      readonly fields: Readonly<Record<string, string>>;
      /** What shows that row to be done; null: what its template or the site says. */
      readonly done: DoneDeclaration | null;
    };

/** What a block says of all its rows beside their fields. */
export interface BlockSettings {
  /** Goes before what the site declares, key by key; null: nothing said. */
  readonly done: DoneDeclaration | null;
  readonly needs: readonly Need[];
  /** Options for the scheduler, one word each. */
  readonly submit: readonly string[];
  readonly maxAttempts: number | null;
}

/** One configuration of a grid. */
export interface Row {
  readonly configuration: Configuration;
  readonly weightsDir: string;
  readonly settings: BlockSettings;
  /** Where it is written: its place, or the file of its line. */
  readonly source: Place;
  /** Null: `source` is the place. A text for each of 100,000 lines would be 10 MB. */
  readonly line: number | null;
}

export function placeOf({ source, line }: Pick<Row, "source" | "line">): Place {
  return line === null ? source : `${source}:${line}`;
}

/** The configurations that somebody wants trained, in the order written, each once. */
export interface Grid {
  /** The file's path as given; null: the command line's options alone. */
  readonly file: string | null;
  readonly rows: readonly Row[];
}

export const noSettings: BlockSettings = { done: null, needs: [], submit: [], maxAttempts: null };

/** More rows than any lab trains; a product of lists can ask for more than memory has. */
export const mostRows = 500_000;
