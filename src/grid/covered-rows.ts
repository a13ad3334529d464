import { schedulerOnPath, schedulerProbes } from "../evidence/schedulers/choose.ts";
import { askCluster } from "../evidence/schedulers/cluster.ts";
import { askElements } from "../evidence/schedulers/elements.ts";
import type { SchedulerKind } from "../evidence/schedulers/listed-job.ts";
import { TrainlockError } from "../model/errors.ts";
import type { SchedulerChoice } from "../site/site-config.ts";
import { runProgram } from "../system/processes/run-program.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { isTrainable, type Plan, type PlannedRow, type PlanRequest, planRows } from "./plan.ts";
import { readGrid } from "./read-grid.ts";
import { countStates, type Queued } from "./row-state.ts";
import {
  idOf,
  isAnswered,
  isOver,
  listOf,
  readSubmissions,
  type SchedulerSays,
  type Submission,
  waitingElements,
} from "./submissions.ts";

/** A submission with elements that may still take a row. */
export interface WaitingSubmission {
  readonly submission: Submission;
  readonly elements: number;
  /** Whether its scheduler says so: else all count that have not claimed. */
  readonly isAnswered: boolean;
}

/** The scheduler to ask or to submit to; null: none is chosen or installed. */
export function schedulerFor(choice: SchedulerChoice): SchedulerKind | null {
  if (choice === "none") return null;
  return choice === "auto" ? (schedulerOnPath()?.kind ?? null) : schedulerProbes[choice].kind;
}

/** One question for all jobs; null: no scheduler is there, or it does not answer. */
export async function askScheduler(choice: SchedulerChoice, timeoutMs: number): Promise<SchedulerSays | null> {
  const scheduler = schedulerFor(choice);
  if (scheduler === null) return null;
  const run = (argv: readonly [string, ...string[]]) => runProgram({ argv, timeoutMs });
  const [answer, cluster] = await Promise.all([askElements(scheduler, run), askCluster(scheduler, run)]);
  if (answer.kind === "no answer") return null;
  const { name, showsOthers } = cluster;
  return { scheduler, cluster: name, elements: answer.elements, showsOthers, user: thisHost().user };
}

interface SortedSubmissions {
  /** Those that still cover rows. */
  readonly waiting: readonly WaitingSubmission[];
  /** Those of which nothing is left to run, for a week or longer. */
  readonly over: readonly Submission[];
}

/** The submissions of a site. The scheduler is asked only where there is one to ask about. */
export async function sortSubmissions(
  lockDir: string,
  choice: SchedulerChoice,
  timeoutMs: number,
): Promise<SortedSubmissions> {
  const submissions = readSubmissions(lockDir);
  if (submissions.length === 0) return { waiting: [], over: [] };
  const says = await askScheduler(choice, timeoutMs);
  const waiting = submissions
    .map((submission) => ({
      submission,
      elements: waitingElements(submission, says),
      isAnswered: isAnswered(submission, says),
    }))
    .filter(({ elements }) => elements > 0);
  return { waiting, over: submissions.filter((submission) => isOver(submission, says, Date.now())) };
}

export async function waitingSubmissions(
  ...asked: Parameters<typeof sortSubmissions>
): Promise<readonly WaitingSubmission[]> {
  return (await sortSubmissions(...asked)).waiting;
}

/**
 * The plan in which the rows that submissions cover are `queued`. A submission covers the first rows of its list that can be
 * trained: as many as it has elements that may take a row. No row is covered twice.
 */
export async function markQueued(
  plan: Plan,
  request: PlanRequest,
  waiting: readonly WaitingSubmission[],
): Promise<Plan> {
  if (waiting.length === 0) return plan;
  const known = new Map(plan.rows.map((row) => [row.weightsDir, row]));
  const covered = new Map<string, Queued>();
  for (const each of waiting) {
    const { submission } = each;
    const queued = queuedBy(each);
    let left = each.elements;
    for (const row of await rowsOfList(request, submission, known)) {
      if (left === 0) break;
      if (!isTrainable(row) || covered.has(row.weightsDir)) continue;
      covered.set(row.weightsDir, queued);
      left -= 1;
    }
  }
  const rows = plan.rows.map((row): PlannedRow => {
    const queued = covered.get(row.weightsDir);
    return queued === undefined ? row : { ...row, state: "queued", queued };
  });
  return { rows, counts: countStates(rows.map(({ state }) => state)) };
}

function queuedBy({ submission, isAnswered: isKnown }: WaitingSubmission): Queued {
  const { user, job, submittedAt } = submission;
  return {
    user,
    job: job ?? idOf(submission),
    submittedAt,
    doubt: job === null ? "submission" : isKnown ? null : "answer",
  };
}

/** The plan where the submissions cannot be read: a row that could be trained may be queued. */
export function markMaybeQueued(plan: Plan, why: string): Plan {
  const rows = plan.rows.map(
    (row): PlannedRow => (isTrainable(row) ? { ...row, state: "unknown", reason: `it may be queued: ${why}` } : row),
  );
  return { rows, counts: countStates(rows.map(({ state }) => state)) };
}

/** The rows of a submission's list with their states; those that the plan does not have are looked at, too. */
async function rowsOfList(
  request: PlanRequest,
  submission: Submission,
  known: Map<string, PlannedRow>,
): Promise<readonly PlannedRow[]> {
  const { reader } = request;
  let rows: PlanRequest["rows"];
  try {
    ({ rows } = await readGrid(reader, { kind: "file", path: listOf(submission.folder) }, new Map()));
  } catch (error) {
    // A list that is gone or broken covers nothing that could be named.
    if (error instanceof TrainlockError) return [];
    throw error;
  }
  const unknown = rows.filter(({ weightsDir }) => !known.has(weightsDir));
  if (unknown.length > 0) {
    for (const row of (await planRows({ ...request, rows: unknown })).rows) known.set(row.weightsDir, row);
  }
  return rows.flatMap(({ weightsDir }) => known.get(weightsDir) ?? []);
}
