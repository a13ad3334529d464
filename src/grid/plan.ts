import type { LockReport } from "../listing/lock-report.ts";
import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError, messageOf, TrainlockError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import type { Progress } from "../progress/progress.ts";
import type { ProgressReader } from "../progress/progress-reader.ts";
import { asksAnything, type DoneRule } from "../run/done-rule.ts";
import { logOf } from "../run/run-logs.ts";
import type { DoneDeclaration } from "../site/done-declaration.ts";
import type { Layout } from "../site/layout.ts";
import { collectGarbageOf } from "../system/processes/collect-garbage.ts";
import type { FieldReader } from "./fields.ts";
import { noSettings, type Row } from "./grid.ts";
import { lookAtRows, type RowLook } from "./look-at-rows.ts";
import { NeedChecker } from "./needs.ts";
import { countStates, type Queued, type RowEnds, type RowState, stateOf } from "./row-state.ts";

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
  /** How many failed runs make it `failed`. */
  readonly maxAttempts: number;
  /** The log of its last run; null: it has none, such as a run that no worker has started. */
  readonly log: string | null;
  /** The file that shows it to be done, also where somebody holds the row; null: there is none. */
  readonly doneBy: string | null;
  /** What shows it to be done. */
  readonly rule: DoneRule;
  /** Why the row is unknown or blocked, in words; null where the lock says it. */
  readonly reason: string | null;
  /** The submission that covers it; null: none does. */
  readonly queued: Queued | null;
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

const rowsBetweenCollections = 20_000;

/** What state each row is in. Looks at each folder once, and changes nothing. */
export async function planRows(request: PlanRequest): Promise<Plan> {
  const { reader, rows, examine, ruleOf } = request;
  const looks = await lookAtRows(reader.layout, rows, examine, ruleOf);
  const needs = new NeedChecker(reader, doneAmong(request, looks));
  const planned: PlannedRow[] = [];
  for (const [index, row] of rows.entries()) {
    const look = looks[index];
    if (look === undefined) continue;
    const lacks = row.settings.needs.length === 0 ? nothing : await lookAtNeeds(needs, row);
    planned.push(plannedRow(request, row, look, lacks));
    if (planned.length % rowsBetweenCollections === 0) collectGarbageOf(rows.length);
  }
  // Nobody asks about needs any more, and the looks at 100,000 rows are 20 MB.
  looks.length = 0;
  collectGarbageOf(rows.length);
  return { rows: planned, counts: countStates(planned.map(({ state }) => state)) };
}

interface Lacks {
  /** What it needs and is not there, in words; null: nothing. */
  readonly missing: string | null;
  /** Why it is not known whether it lacks something; null: it is known. */
  readonly problem: string | null;
}

const nothing: Lacks = { missing: null, problem: null };

async function lookAtNeeds(needs: NeedChecker, { configuration, settings }: Row): Promise<Lacks> {
  try {
    return { missing: await needs.missing(configuration, settings.needs), problem: null };
  } catch (error) {
    if (!(error instanceof TrainlockError)) throw error;
    return { missing: null, problem: messageOf(error) };
  }
}

function plannedRow(request: PlanRequest, row: Row, look: RowLook, lacks: Lacks): PlannedRow {
  const { reader, ruleOf, progress } = request;
  const { locks, doneBy, ends } = look;
  const { missing } = lacks;
  // A row that is done needs nothing any more.
  const problem = look.problem ?? (doneBy === null ? lacks.problem : null);
  const maxAttempts = request.maxAttempts(row);
  const state = stateOf({ locks, problem, doneBy, queued: null, missing, ends, maxAttempts });
  return {
    name: reader.layout.displayName(row.configuration),
    configuration: row.configuration,
    state,
    weightsDir: row.weightsDir,
    lock: decidingLock(locks),
    // Of what nobody trains now, the checkpoints tell from where it would go on.
    progress: state === "running" ? progress.readFolder(row.weightsDir, ruleOf(row).patterns) : look.checkpoint,
    ends,
    maxAttempts,
    log: look.hasLogs ? logOf(row.weightsDir, ends.generation) : null,
    doneBy,
    rule: ruleOf(row),
    queued: null,
    reason: state === "unknown" ? problem : state === "blocked" ? missing : null,
  };
}

/** Nothing shows it to be done, and its last run ended with exit code 0: `work` and `submit` leave it. */
export function hasEndedWellWithoutRule({ rule, ends, state }: PlannedRow): boolean {
  return state === "free" && !asksAnything(rule) && ends.lastEnd === "done";
}

/** Whether a worker would take it. */
export function isTrainable(row: PlannedRow): boolean {
  return (row.state === "free" || row.state === "stale") && !hasEndedWellWithoutRule(row);
}

function decidingLock(locks: readonly LockReport[]): LockReport | null {
  if (locks.length <= 1) return locks[0] ?? null;
  const order = ["active", "unknown", "unverified", "stale"];
  const rank = ({ verdict }: LockReport) => order.indexOf(verdict.status);
  return [...locks].sort((a, b) => rank(a) - rank(b))[0] ?? null;
}

/** Whether a configuration is done: as the grid's own row says, else under the site's rule. */
function doneAmong({ reader, rows, examine, ruleOf }: PlanRequest, looks: readonly RowLook[]) {
  const { layout } = reader;
  let known: ReadonlyMap<string, number> | null = null;
  const others = new Map<string, Promise<boolean>>();
  const lookAtOther = async (configuration: Configuration, done: DoneDeclaration | null): Promise<boolean> => {
    const weightsDir = layout.weightsDir(configuration);
    const row: Row = { configuration, weightsDir, settings: { ...noSettings, done }, source: "", line: null };
    const [look] = await lookAtRows(layout, [row], examine, ruleOf);
    return look !== undefined && isDone(look, ruleOf(row));
  };
  return async (configuration: Configuration, done: DoneDeclaration | null): Promise<boolean> => {
    known ??= new Map(rows.map((row, index) => [nameOf(layout, row.configuration), index]));
    const name = nameOf(layout, configuration);
    const index = known.get(name) ?? -1;
    const [look, row] = [looks[index], rows[index]];
    if (look !== undefined && row !== undefined) return isDone(look, ruleOf(row));
    const question = done === null ? name : `${name} ${JSON.stringify(done)}`;
    const before = others.get(question) ?? lookAtOther(configuration, done);
    others.set(question, before);
    return before;
  };
}

/** Stages may share a weights dir, but each has a lock of its own. */
function nameOf(layout: Layout, configuration: Configuration): string {
  return layout.kernelLockPath(configuration);
}

/**
 * A match counts only while nobody holds the configuration, and nobody may. Without a rule: what workers leave as trained. Throws
 * an EnvironmentError where it cannot be looked at.
 */
function isDone({ doneBy, locks, problem, ends }: RowLook, rule: DoneRule): boolean {
  if (problem !== null)
    throw new EnvironmentError(problem, { code: "ERR_NEED", hint: "make its weights dir readable" });
  if (!asksAnything(rule)) return ends.lastEnd === "done" && locks.length === 0;
  return doneBy !== null && locks.every(({ verdict }) => verdict.status === "stale");
}
