import { realpathSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { explainRow } from "../../grid/explain-row.ts";
import type { Row } from "../../grid/grid.ts";
import { rowName } from "../../grid/row-name.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { nearest } from "../../model/nearest.ts";
import type { Layout } from "../../site/layout.ts";
import { readName } from "../../site/named-configuration.ts";
import { configurationFor } from "../../site/open-site.ts";
import { openRemoteLocks } from "../../stores/open-remote-locks.ts";
import { defineCommand, optionalOperand, type ValuesOf, value } from "../command.ts";
import { doneFlags } from "../done-options.ts";
import { maxAttemptsFor, rowRules } from "../grid-options.ts";
import { print, printJson } from "../output.ts";
import { openPlanSource, type PlanSource, planSourceOptions, type RowsInForce } from "../plan-source.ts";
import { paintFor } from "../show/paint.ts";
import { sayUnseen } from "../show/unseen-text.ts";
import { whyJson, whyText } from "../show/why-text.ts";
import { terminalColumns } from "../show/wrapped.ts";
import { shownPast } from "../shown-past.ts";
import { jsonOption } from "../site-options.ts";

const options = {
  ...planSourceOptions,
  ...jsonOption,
  grid: value("<file>", "the grid of the row (else the site's grid, else all configurations that are known)"),
};

type WhyOptions = ValuesOf<typeof options>;

export const command = defineCommand({
  summary: "say why a configuration is in its state, and what would change it",
  options,
  operands: {
    name: optionalOperand(
      "its name as plan and list show it, or its weights dir (else --strategy, --dataset, --model)",
    ),
  },
  examples: [
    "trainlock why baseline/idd-aw/pspnet_r50",
    "trainlock why gen_TSIT/idd-aw/pspnet_r50_ratio0p50 --grid grid.yaml",
    "trainlock why --strategy baseline --dataset IDD-AW \\\n    --model pspnet_r50",
  ],
  exitCodes: {
    0: "said",
    2: "the call or the grid is wrong, or nothing has that name",
    3: "no such root, or the configuration could not be looked at",
  },
  execute: ({ name, ...given }) => why(name, given),
});

async function why(name: string | undefined, given: WhyOptions): Promise<number> {
  const source = openPlanSource(given.grid, given);
  const inForce = await rowsFor(source, name, given);
  sayUnseen(inForce, "");
  const { layout } = source;
  const [ruleOf, maxAttempts] = [rowRules(layout, given), maxAttemptsFor(layout, given)];
  const planned = await source.look(inForce);
  const store = await openRemoteLocks(layout);
  const explained = await Promise.all(
    planned.rows.map((row, index) => {
      const of = inForce.grid.rows[index] as Row;
      const asked = { rule: ruleOf(of), doneFlags: doneFlags(given), maxAttempts: maxAttempts(of) };
      return explainRow(row, { layout, store, ...asked });
    }),
  );
  const [only] = planned.rows.length === 1 ? planned.rows : [];
  const pastOf = await shownPast(layout.lockDir, only?.name);
  if (given.json) {
    const documents = explained.map((each) => whyJson(each, pastOf(each.row)));
    printJson(only === undefined ? documents : documents[0]);
  } else {
    const [paint, columns] = [paintFor(1, given.color), terminalColumns()];
    print(explained.map((each) => whyText(each, pastOf(each.row), paint, columns)).join("\n"));
  }
  const unseen = planned.rows.some(({ state, reason }) => state === "unknown" && reason !== null);
  return unseen ? exitCodes.environment : exitCodes.ok;
}

/** The rows that are meant: by name, or by the options alone. */
async function rowsFor(source: PlanSource, name: string | undefined, given: WhyOptions): Promise<RowsInForce> {
  const isChosen = given.strategy !== undefined && given.dataset !== undefined && given.model !== undefined;
  if (name === undefined && !isChosen) {
    throw new UsageError("no configuration is named", {
      hint: "give its name as plan shows it, or --strategy, --dataset and --model",
    });
  }
  const inForce = await source.rows();
  if (name === undefined) return inForce;
  const here = named(source, inForce, name);
  if (here !== null) return here;
  // What a grid does not have may be there all the same.
  const known = await openPlanSource(undefined, given, { knownAlone: true }).rows();
  const there = named(source, known, name);
  if (there !== null) return there;
  const names = [...inForce.grid.rows, ...known.grid.rows].map(({ configuration }) =>
    source.layout.displayName(configuration),
  );
  throw new UsageError(`no configuration is called ${JSON.stringify(name)}`, {
    hint: nameHint(name, [...new Set(names)]),
  });
}

/** What goes on from where a name ends is nearer than what is as long. */
function nameHint(given: string, names: readonly string[]): string {
  const [longer, ...more] = names.filter((name) => name.startsWith(given));
  const near = longer ?? nearest(given, names.slice(0, mostNames));
  if (near === null) return "trainlock plan shows the names";
  return more.length === 0
    ? `did you mean ${near}?`
    : `did you mean ${near}, or ${more.length} more that begin like it?`;
}

/** How many names a wrong name is compared with: 100,000 comparisons take a minute. */
const mostNames = 2000;

function named({ layout }: PlanSource, { grid, ...rest }: RowsInForce, name: string): RowsInForce | null {
  const called = grid.rows.filter(
    ({ configuration }) => layout.displayName(configuration) === name || rowName(layout, configuration) === name,
  );
  const [folders, shown] = [foldersCalled(name, layout.root), shownName(layout, name)];
  const rows =
    called.length > 0
      ? called
      : grid.rows.filter(
          ({ configuration }) =>
            layout.displayName(configuration) === shown || folders.has(layout.weightsDir(configuration)),
        );
  return rows.length === 0 ? null : { grid: { ...grid, rows }, ...rest };
}

/** The same name as it is shown, where its dataset is spelled as in a grid; null: it is no name, or fits two configurations. */
function shownName(layout: Layout, given: string): string | null {
  try {
    return layout.displayName(configurationFor(layout, { ...readName(layout, given), stage: null }));
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}

/** The weights dirs that a path may mean: from the working folder, or from the root; also where links lead to the root or to it. */
function foldersCalled(path: string, root: string): ReadonlySet<string> {
  if (path === "") return new Set();
  const found = [resolve(path), resolve(root, path)];
  try {
    const real = realpathSync(path);
    found.push(real, join(root, relative(realpathSync(root), real)));
  } catch {
    // What is not there yet is called as it is written.
  }
  return new Set(found);
}
