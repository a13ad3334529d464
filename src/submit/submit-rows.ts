import { join } from "node:path";
import type { SchedulerKind } from "../evidence/schedulers/listed-job.ts";
import type { Row } from "../grid/grid.ts";
import { dropSubmission, listOf, makeSubmission, submitFolder, writeSubmission } from "../grid/submissions.ts";
import { EnvironmentError } from "../model/errors.ts";
import { fieldOf } from "../site/condition.ts";
import { fixedFields } from "../site/template.ts";
import { runProgram } from "../system/processes/run-program.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { randomHex } from "../system/random.ts";
import { arrayScript, type ElementCall } from "./array-script.ts";
import { type ArrayJob, dialects } from "./dialects.ts";

/** Rows that need the same of the scheduler. */
export interface RowGroup {
  readonly options: readonly string[];
  /** All of the grid that have these options. */
  readonly list: readonly Row[];
  /** How many of them can be trained and are not queued. */
  readonly trainable: number;
}

/** An array to be submitted. */
export interface Part {
  readonly job: ArrayJob;
  readonly list: readonly Row[];
}

/** One group for each set of options, in the order in which they appear. `limit`: so many elements in all. */
export function groupRows(
  rows: readonly Row[],
  isTrainable: (row: Row) => boolean,
  more: readonly string[],
  limit: number,
): RowGroup[] {
  const groups = new Map<string, { options: readonly string[]; list: Row[]; trainable: number }>();
  let left = limit;
  for (const row of rows) {
    const options = [...row.settings.submit, ...more];
    const key = JSON.stringify(row.settings.submit);
    const group = groups.get(key) ?? { options, list: [], trainable: 0 };
    groups.set(key, group);
    group.list.push(row);
    if (left > 0 && isTrainable(row)) {
      group.trainable += 1;
      left -= 1;
    }
  }
  return [...groups.values()].filter(({ trainable }) => trainable > 0);
}

/** Arrays of at most so many elements. */
export function splitGroup(group: RowGroup, name: string, mostElements: number): Part[] {
  return Array.from({ length: Math.ceil(group.trainable / mostElements) }, (_, part) => {
    const elements = Math.min(mostElements, group.trainable - part * mostElements);
    return { job: { name, elements, mostRunning: null, options: group.options }, list: group.list };
  });
}

/**
 * The same arrays, so that no more than `most` elements of all of them run at once: each may run one, and the rest by its number
 * of elements. There are no more arrays than that: what is left out has to be submitted again.
 */
export function limitRunning(parts: readonly Part[], most: number): Part[] {
  const kept = parts.slice(0, most);
  const shares = kept.map(() => 1);
  for (let left = most - kept.length; left > 0; left -= 1) {
    const served = (index: number) => (shares[index] ?? 0) / (kept[index]?.job.elements ?? 1);
    const next = [...shares.keys()].reduce((least, index) => (served(index) < served(least) ? index : least), 0);
    if (served(next) >= 1) break;
    shares[next] = (shares[next] ?? 0) + 1;
  }
  return kept.map((part, index) => ({ ...part, job: { ...part.job, mostRunning: shares[index] ?? 1 } }));
}

export interface SubmitPlace {
  readonly kind: SchedulerKind;
  readonly cluster: string | null;
  readonly lockDir: string;
  /** What had failed before this time, milliseconds since the epoch, its elements try once more; null: nothing. */
  readonly retriedSinceMs: number | null;
  /** What an element calls, given the file of its rows. */
  readonly callFor: (listFile: string) => Omit<ElementCall, "outputFolder">;
}

/** Where a controller has no room, sbatch tries again by itself for 120 s, and then says so. */
const patienceMs = 240_000;

/** The script of a part, as it would be submitted. */
export function scriptOf({ kind, lockDir, callFor }: SubmitPlace, { job }: Part, folder: string): string {
  return arrayScript(kind, job, { ...callFor(listOf(folder)), outputFolder: submitFolder(lockDir) });
}

export function newFolder(lockDir: string): string {
  const at = new Date().toISOString().replaceAll(/[-:]/g, "").slice(0, 15);
  return join(submitFolder(lockDir), `${at}-${randomHex(4)}`);
}

/**
 * Submits one array, and returns its number. What it covers is written down before: whoever looks meanwhile, or after a crash,
 * counts its rows as queued. Throws an EnvironmentError with the scheduler's own words where it refuses.
 */
export async function submitPart(place: SubmitPlace, part: Part): Promise<string> {
  const { kind, cluster, lockDir, retriedSinceMs } = place;
  const folder = newFolder(lockDir);
  const script = scriptOf(place, part, folder);
  const { user, hostname: host } = thisHost();
  const submitted = {
    ...{ format: 1 as const, job: null, scheduler: kind, cluster, user, host },
    submittedAt: Date.now(),
    elements: part.job.elements,
    ...(retriedSinceMs === null ? {} : { retriedSince: retriedSinceMs }),
  };
  const rows = part.list.map((row) => JSON.stringify(lineOf(row)));
  makeSubmission(folder, script, rows);
  writeSubmission(folder, submitted);
  const { command, jobOf } = dialects[kind];
  const answer = await runProgram({ argv: command, input: script, timeoutMs: patienceMs });
  if (answer.kind === "ended" && answer.exitCode === 0) {
    const job = jobOf(answer.stdout);
    if (job !== null) {
      writeSubmission(folder, { ...submitted, job });
      return job;
    }
    throw inDoubt(command[0], `it printed ${JSON.stringify(answer.stdout.trim().slice(0, 200))}`, folder);
  }
  if (answer.kind === "ended" && answer.exitCode !== null) {
    const said = `${answer.stderr}${answer.stdout}`.trim();
    if (isNoAnswer.test(said)) throw inDoubt(command[0], said, folder);
    dropSubmission(folder);
    throw new EnvironmentError(`${command[0]} refused: ${said === "" ? `exit ${answer.exitCode}` : said}`, {
      code: "ERR_SUBMIT_REFUSED",
      hint: "mend what it names, by the options of the rows (`submit:`) or --with",
    });
  }
  if (answer.kind === "missing") {
    dropSubmission(folder);
    throw new EnvironmentError(`${command[0]} cannot be started: ${answer.why}`, {
      code: "ERR_NO_SCHEDULER",
      hint: "submit where the scheduler's commands are",
    });
  }
  throw inDoubt(command[0], "it gave no answer", folder);
}

/** Of a client whose controller did not answer in time: it may take the job all the same. */
const isNoAnswer = /timed out|zero bytes were transmitted|receive failure|connection reset|broken pipe/i;

export const unknownSubmission = "ERR_SUBMIT_UNKNOWN";

function inDoubt(command: string, why: string, folder: string): EnvironmentError {
  return new EnvironmentError(`whether ${command} has taken the job is not known: ${why}`, {
    code: unknownSubmission,
    hint: `its rows count as queued; if it has not, trainlock submit --forget ${folder.slice(folder.lastIndexOf("/") + 1)}`,
  });
}

/** A row as a line of a grid. */
function lineOf({ configuration, settings }: Row): Record<string, unknown> {
  const names = [...fixedFields, ...Object.keys(configuration.dimensions)];
  const fields = names.flatMap((name): [string, string][] => {
    const value = fieldOf(configuration, name);
    return value === null ? [] : [[name, String(value)]];
  });
  const { done, needs, submit, maxAttempts } = settings;
  return {
    ...Object.fromEntries(fields),
    ...(done === null ? {} : { done: doneOf(done) }),
    ...(needs.length === 0 ? {} : { needs: needs.map(needOf) }),
    ...(submit.length === 0 ? {} : { submit }),
    ...(maxAttempts === null ? {} : { max_attempts: maxAttempts }),
  };
}

function needOf(need: Row["settings"]["needs"][number]): unknown {
  if (need.kind === "path") return need.pattern;
  return { ...need.fields, ...(need.done === null ? {} : { done: doneOf(need.done) }) };
}

function doneOf({ when, minBytes, file }: NonNullable<Row["settings"]["done"]>): Record<string, unknown> {
  return {
    ...(when === null ? {} : { when }),
    ...(minBytes === null ? {} : { min_size: String(minBytes) }),
    ...(file === null ? {} : { file }),
  };
}
