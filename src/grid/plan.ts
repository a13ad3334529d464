import type { LockReport } from "../listing/lock-report.ts";
import type { Configuration } from "../model/configuration.ts";
import { TrainlockError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import { checkpointProgress } from "../progress/checkpoints.ts";
import type { Progress } from "../progress/progress.ts";
import type { ProgressReader } from "../progress/progress-reader.ts";
import type { DoneRule } from "../run/done-rule.ts";
import { type DoneFinding, findDone } from "../run/find-done.ts";
import type { Layout } from "../site/layout.ts";
import type { FieldReader } from "./fields.ts";
import type { Row } from "./grid.ts";
import { lookAtRows, type RowLook } from "./look-at-rows.ts";
import { NeedChecker } from "./needs.ts";
import { countStates, noEnds, type RowEnds, type RowFacts, type RowState, stateOf } from "./row-state.ts";

/** One row of a plan: its configuration, the state that it is in, and what says so. */
export interface PlannedRow {
  readonly name: string;
  readonly configuration: Configuration;
  readonly state: RowState;
  readonly weightsDir: string;
  /** The lock that decides, the surest first; null: there is none. */
  readonly lock: LockReport | null;
  readonly progress: Progress | null;
  readonly ends: RowEnds;
  /** The file that shows it to be done, also where somebody holds the row; null: there is none. */
  readonly doneBy: string | null;
  /** Why the row is unknown or blocked, in words; null where the lock says it. */
  readonly reason: string | null;
}

export interface Plan {
  readonly rows: readonly PlannedRow[];
  readonly counts: Readonly<Record<RowState, number>>;
}

export interface PlanRequest {
  readonly reader: FieldReader;
  readonly rows: readonly Row[];
  readonly examine: Examine;
  /** The done rule in force for a row. */
  readonly ruleOf: (row: Row) => DoneRule;
  /** How many failed runs make a row `failed`. */
  readonly maxAttempts: (row: Row) => number;
  /** Reads how far the running rows are. */
  readonly progress: ProgressReader;
}

/** What state each row is in. Looks at each folder once, and changes nothing. */
export async function planRows(request: PlanRequest): Promise<Plan> {
  const { reader, rows, examine, ruleOf } = request;
  const { layout } = reader;
  const looks = await lookAtRows(
    layout,
    rows.map(({ configuration }) => configuration),
    examine,
  );
  const done = await Promise.all(
    rows.map(async (row, index) => {
      const look = looks[index];
      return look === undefined || look.names === null ? noFinding : findDoneOf(layout, row, ruleOf);
    }),
  );
  const needs = new NeedChecker(reader, doneAmong(request, looks, done));
  const planned = await Promise.all(
    rows.map(async (row, index): Promise<PlannedRow> => {
      const look = looks[index] ?? unseen;
      const missing =
        row.settings.needs.length === 0 ? null : await needs.missing(row.configuration, row.settings.needs);
      const found = done[index] ?? noFinding;
      const facts: RowFacts = {
        locks: look.locks,
        problem: look.problem ?? found.problem,
        doneBy: found.path,
        queued: null,
        missing,
        ends: look.ends,
        maxAttempts: request.maxAttempts(row),
      };
      return plannedRow(request, row, look, facts);
    }),
  );
  return { rows: planned, counts: countStates(planned.map(({ state }) => state)) };
}

/** What shows a row to be done, or why that cannot be told. */
interface DoneLook {
  readonly path: string | null;
  readonly problem: string | null;
}

const noFinding: DoneLook = { path: null, problem: null };

/** One row whose files cannot be looked at, or are another's, stops no other. */
async function findDoneOf(layout: Layout, row: Row, ruleOf: PlanRequest["ruleOf"]): Promise<DoneLook> {
  let found: DoneFinding;
  try {
    found = await findDone(layout, row.configuration, ruleOf(row));
  } catch (error) {
    if (!(error instanceof TrainlockError)) throw error;
    return { path: null, problem: error.message };
  }
  if (found.kind === "another's") return { path: null, problem: found.error.message };
  return found.kind === "done" ? { path: found.path, problem: null } : noFinding;
}

const unseen: RowLook = { weightsDir: "", names: null, locks: [], ends: noEnds, problem: "it was not looked at" };

function plannedRow({ reader, ruleOf, progress }: PlanRequest, row: Row, look: RowLook, facts: RowFacts): PlannedRow {
  const state = stateOf(facts);
  const names = look.names ?? [];
  const { patterns } = ruleOf(row);
  return {
    name: reader.layout.displayName(row.configuration),
    configuration: row.configuration,
    state,
    weightsDir: look.weightsDir,
    lock: decidingLock(look.locks),
    // Of what nobody trains now, the checkpoints tell from where it would go on.
    progress:
      state === "running" ? progress.read(look.weightsDir, names, patterns) : checkpointProgress(names, patterns),
    ends: facts.ends,
    doneBy: facts.doneBy,
    reason: state === "unknown" ? facts.problem : state === "blocked" ? facts.missing : null,
  };
}

function decidingLock(locks: readonly LockReport[]): LockReport | null {
  const order = ["active", "unknown", "unverified", "stale"];
  const rank = ({ verdict }: LockReport) => order.indexOf(verdict.status);
  return [...locks].sort((a, b) => rank(a) - rank(b))[0] ?? null;
}

/** Whether a configuration is done: as the grid's own row says, else under the site's rule. */
function doneAmong(
  { reader, rows, examine, ruleOf }: PlanRequest,
  looks: readonly RowLook[],
  done: readonly DoneLook[],
) {
  const { layout } = reader;
  const known = new Map(rows.map((row, index) => [layout.weightsDir(row.configuration), index]));
  const others = new Map<string, Promise<boolean>>();
  const lookAtOther = async (configuration: Configuration): Promise<boolean> => {
    const row: Row = { configuration, settings: { done: null, needs: [], submit: [], maxAttempts: null }, place: "" };
    const [look] = await lookAtRows(layout, [configuration], examine);
    if (look === undefined || look.names === null || isInUse(look)) return false;
    return (await findDoneOf(layout, row, ruleOf)).path !== null;
  };
  return async (configuration: Configuration): Promise<boolean> => {
    const folder = layout.weightsDir(configuration);
    const index = known.get(folder);
    const look = index === undefined ? undefined : looks[index];
    if (index !== undefined && look !== undefined) return (done[index] ?? noFinding).path !== null && !isInUse(look);
    const before = others.get(folder) ?? lookAtOther(configuration);
    others.set(folder, before);
    return before;
  };
}

/** A match counts only while nobody holds the configuration, and nobody may. */
function isInUse({ locks, problem }: RowLook): boolean {
  return problem !== null || locks.some(({ verdict }) => verdict.status !== "stale");
}
