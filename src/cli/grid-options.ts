import { FieldReader } from "../grid/fields.ts";
import type { Row } from "../grid/grid.ts";
import { gridSource, readGrid } from "../grid/read-grid.ts";
import { readSelection, type Selection, selectRows } from "../grid/selection.ts";
import { UsageError } from "../model/errors.ts";
import { type DoneRule, doneRuleFor } from "../run/done-rule.ts";
import type { DoneDeclaration } from "../site/done-declaration.ts";
import { templateOf } from "../site/done-in-force.ts";
import type { Layout } from "../site/layout.ts";
import type { Template } from "../site/template.ts";
import type { ChosenRows } from "../work/grid-on-disk.ts";
import { listValue, repeatedValue, type ValuesOf, value } from "./command.ts";
import { type DoneOptions, doneDeclarationFrom } from "./done-options.ts";
import { parseCount } from "./units.ts";

/** They select rows of a grid, or make one. */
export const selectionOptions = {
  strategy: listValue("<list>", "strategies, separated by commas: they select rows of a grid, or make one"),
  dataset: listValue("<list>", "datasets"),
  model: listValue("<list>", "models"),
  ratio: listValue("<list>", "ratios; none: rows without one"),
  auxLoss: listValue("<list>", "auxiliary losses"),
  stage: listValue("<list>", "stages"),
  set: repeatedValue("<name=list>", "values of a dimension of the site, such as seed=1..5; may be repeated"),
};

export const attemptsOption = {
  maxAttempts: value(
    "<m>",
    "failed runs that make a row `failed` (else max_attempts of its block or the site, 1)",
    parseCount,
  ),
};

/** How many failed runs make a row `failed`: as the call says, else its block, else the site. */
export function maxAttemptsFor({ site }: Layout, given: ValuesOf<typeof attemptsOption>): (row: Row) => number {
  return ({ settings }) => given.maxAttempts ?? settings.maxAttempts ?? site.maxAttempts;
}

export function selectionFrom(reader: FieldReader, given: ValuesOf<typeof selectionOptions>): Selection {
  const { strategy, dataset, model, ratio, auxLoss, stage } = given;
  return readSelection(reader, { strategy, dataset, model, ratio, aux_loss: auxLoss, stage }, given.set ?? []);
}

/** The grid to train: a file, the options alone, or the site's. Throws a UsageError where neither is given. */
export async function givenGrid(
  reader: FieldReader,
  file: string | undefined,
  selection: Selection,
): Promise<ChosenRows> {
  const source = gridSource(reader, file, selection);
  if (source?.kind === "options") {
    const { rows } = await readGrid(reader, source, selection);
    return { chosen: rows, all: rows };
  }
  if (source !== null) {
    const { rows } = await readGrid(reader, source, new Map());
    return { chosen: selection.size === 0 ? rows : selectRows(reader, rows, selection), all: rows };
  }
  throw new UsageError("no grid is given", {
    hint: "give a grid file, or --strategy, --dataset and --model; see `trainlock help grids`",
  });
}

/** Where the rows of a call are written; undefined: in its options. */
export function fileOfGrid(reader: FieldReader, file: string | undefined, selection: Selection): string | undefined {
  const source = gridSource(reader, file, selection);
  if (source?.kind === "site") return source.declared.file;
  return source?.kind === "file" ? source.path : undefined;
}

/** Reads the grid that the site declares now, and all else as before. */
export function withGridOf({ site: { grid } }: Layout, { layout }: FieldReader): FieldReader {
  return new FieldReader({ ...layout, site: { ...layout.site, grid } });
}

/** The done rule of each row, key by key: what the call says, then the row's block, its template, the site. */
export function rowRules(layout: Layout, given: DoneOptions): (row: Row) => DoneRule {
  const declared = doneDeclarationFrom(given);
  // Of a hundred thousand rows few blocks and templates differ.
  const known = new Map<DoneDeclaration | null, Map<Template | undefined, DoneRule>>();
  return ({ configuration, settings: { done } }) => {
    const template = templateOf(layout.site, configuration);
    const ofBlock = known.get(done) ?? new Map<Template | undefined, DoneRule>();
    const rule = ofBlock.get(template) ?? doneRuleFor(layout, configuration, declared, done);
    known.set(done, ofBlock.set(template, rule));
    return rule;
  };
}
