import { accessSync, constants, existsSync } from "node:fs";
import { basename } from "node:path";
import type { Row } from "../grid/grid.ts";
import { messageOf } from "../model/errors.ts";
import type { DoneRule } from "../run/done-rule.ts";
import type { Layout } from "../site/layout.ts";
import { nearestExisting } from "../system/files/nearest-existing.ts";
import { requireWithin } from "../system/files/within.ts";
import { errnoOf } from "../system/libc/errno.ts";
import { canBeStarted, isOnPath } from "../system/processes/on-path.ts";
import { isEmptyRule, type RowLooker } from "./look-at-row.ts";

interface Rehearsal {
  readonly layout: Layout;
  readonly rows: readonly Row[];
  readonly argv: readonly string[];
  readonly ruleOf: (row: Row) => DoneRule;
  readonly looker: RowLooker;
}

/** What would keep rows from being trained, as far as a look can show. Starts and writes nothing. */
export async function rehearse({ layout, rows, argv, ruleOf, looker }: Rehearsal) {
  const faults = new Set<string>();
  const [program = ""] = argv;
  if (!(program.includes("/") ? canBeStarted(program) : isOnPath(program)))
    faults.add(`the command ${program} is not found, or cannot be executed`);
  const script = missingScript(argv);
  if (script !== null) faults.add(`the script ${script} is not there`);
  const folderProblem = writeProblem(layout.lockDir);
  if (folderProblem !== null) faults.add(folderProblem);
  // What keeps every row from being trained.
  const allAreBlocked = faults.size > 0;
  const counts = new Map<string, number>();
  const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1);
  for (const row of rows) {
    const look = await looker.look(row);
    const problem = folderProblemOf(layout, layout.weightsDir(row.configuration));
    const isBlocked = allAreBlocked || problem !== null;
    count(look.kind === "trainable" && isBlocked ? "that cannot be trained here" : look.kind);
    if (isEmptyRule(ruleOf(row))) count("without a done rule");
    if (look.kind === "problem") faults.add(`${layout.displayName(row.configuration)}: ${look.why}`);
    if (problem !== null) faults.add(problem);
  }
  const shown = [...counts].map(([what, number]) => `${number} ${what}`).join(", ");
  return { notes: [`${rows.length} rows: ${shown}; nothing was started`], faults: [...faults] };
}

const interpreters = /^(?:ba|da|z|k)?sh$|^python[0-9.]*$|^(?:perl|Rscript|julia|node|bun)$/;

/** The script that an interpreter is given first, where no such file is there; null: it is, or that is not so plain to see. */
function missingScript([program = "", script = ""]: readonly string[]): string | null {
  const isPlain = interpreters.test(basename(program)) && script !== "" && !/^-|\{/.test(script);
  return isPlain && !existsSync(script) ? script : null;
}

function folderProblemOf(layout: Layout, weightsDir: string): string | null {
  try {
    requireWithin(layout, weightsDir);
  } catch (error) {
    return messageOf(error);
  }
  return writeProblem(weightsDir);
}

/** Why a folder cannot be written to, or made; null: it can. */
function writeProblem(folder: string): string | null {
  const there = nearestExisting(folder).path;
  try {
    accessSync(there, constants.W_OK | constants.X_OK);
    return null;
  } catch (error) {
    return `${there === folder ? "" : `${folder} cannot be made: `}${there} cannot be written to (${errnoOf(error)})`;
  }
}
