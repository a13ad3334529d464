import { statSync } from "node:fs";
import type { RemoteOptions } from "../evidence/remote/options.ts";
import { markMaybeQueued, markQueued, waitingSubmissions } from "../grid/covered-rows.ts";
import { FieldReader } from "../grid/fields.ts";
import type { Grid, Row } from "../grid/grid.ts";
import { knownRows } from "../grid/known-rows.ts";
import { type Plan, planRows } from "../grid/plan.ts";
import { gridSource, readGrid } from "../grid/read-grid.ts";
import { type Selection, selectRows } from "../grid/selection.ts";
import { EnvironmentError } from "../model/errors.ts";
import { ProgressReader } from "../progress/progress-reader.ts";
import type { DoneRule } from "../run/done-rule.ts";
import type { Layout } from "../site/layout.ts";
import type { WalkEvents } from "../site/weights-folders.ts";
import type { ValuesOf } from "./command.ts";
import { doneOptions } from "./done-options.ts";
import { evidenceOptions, examineFrom } from "./evidence-options.ts";
import { attemptsOption, maxAttemptsFor, rowRules, selectionFrom, selectionOptions } from "./grid-options.ts";
import { layoutFrom, siteOptions } from "./site-options.ts";

/** What every command that looks at the rows of a grid takes. */
export const planSourceOptions = {
  ...selectionOptions,
  ...siteOptions,
  ...evidenceOptions,
  ...doneOptions,
  ...attemptsOption,
};

type PlanSourceOptions = ValuesOf<typeof planSourceOptions>;

/** The rows of a call's grid, to be looked at once or again and again. */
export interface PlanSource {
  /** As the call named it; null: it named none. */
  readonly gridFile: string | null;
  readonly layout: Layout;
  readonly reader: FieldReader;
  /** The rows in force. Throws a UsageError for a mistake in the grid. */
  rows(): Promise<RowsInForce>;
  /** What state each of them is in now. */
  look(rows: RowsInForce): Promise<Plan>;
}

export interface RowsInForce {
  readonly grid: Grid;
  /** Folders that could not be looked into, with the reason: what they hold is left out. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Links where folders belong: they are not followed. */
  readonly links: readonly string[];
}

/**
 * Opens the site of a call, and its grid: a file, the options alone, the site's grid, or all configurations that are known.
 * `knownAlone`: these even where the site has a grid. `watching`: how whoever looks again and again asks others.
 */
export function openPlanSource(
  gridFile: string | undefined,
  given: PlanSourceOptions,
  {
    knownAlone = false,
    watching = {},
  }: { readonly knownAlone?: boolean; readonly watching?: Partial<RemoteOptions> } = {},
): PlanSource {
  const layout = layoutFrom(given);
  const reader = new FieldReader(layout);
  const ruleOf = rowRules(layout, given);
  const selection = selectionFrom(reader, given);
  const examine = examineFrom(given, layout, watching);
  const maxAttempts = maxAttemptsFor(layout, given);
  const progress = new ProgressReader(layout.site.progress);
  let read: { version: string; grid: Grid } | null = null;
  return {
    gridFile: gridFile ?? null,
    layout,
    reader,
    rows: async () => {
      const unreadable = new Map<string, string>();
      const links: string[] = [];
      // A grid of 100,000 rows is read again only if its file is another.
      const version = gridFile === undefined ? null : versionOf(gridFile);
      if (version !== null && version === read?.version) return { grid: read.grid, unreadable, links };
      const grid = await gridOf(
        reader,
        gridFile,
        selection,
        ruleOf,
        {
          onUnreadable: (path, why) => unreadable.set(path, why),
          onLink: (path) => links.push(path),
        },
        knownAlone,
      );
      if (version !== null) read = { version, grid };
      return { grid, unreadable, links };
    },
    look: async ({ grid }) => {
      const request = { reader, rows: grid.rows, examine, ruleOf, maxAttempts, progress };
      const { scheduler, timeouts } = layout.site;
      // Before the rows: an element that claims one meanwhile would cover it no more, and the row would seem to be free.
      const asked = [layout.lockDir, given.scheduler ?? scheduler, timeouts.schedulerMs] as const;
      const waiting = await waitingSubmissions(...asked).catch(unreadableOne);
      const plan = await planRows(request);
      return waiting instanceof EnvironmentError
        ? markMaybeQueued(plan, waiting.message)
        : markQueued(plan, request, waiting);
    },
  };
}

/** A folder of submissions that is closed to this user keeps no other row from being shown. */
function unreadableOne(error: unknown): EnvironmentError {
  if (error instanceof EnvironmentError) return error;
  throw error;
}

/** Tells one content of a file from the next; null where it cannot be known. */
function versionOf(path: string): string | null {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch {
    return null;
  }
}

async function gridOf(
  reader: FieldReader,
  file: string | undefined,
  selection: Selection,
  ruleOf: (row: Row) => DoneRule,
  events: WalkEvents,
  knownAlone: boolean,
): Promise<Grid> {
  const source = gridSource(reader, file, selection);
  if (source !== null && (file !== undefined || source.kind === "options" || !knownAlone))
    return readGrid(reader, source, selection);
  const known = await knownRows(reader.layout, ruleOf, events, knownAlone);
  return { file: null, rows: selection.size === 0 ? known : selectRows(reader, known, selection) };
}
