import { lstatSync, readdirSync, rmSync, statSync, unlinkSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import * as v from "valibot";
import { arrayNumber, type ListedElement } from "../evidence/schedulers/elements.ts";
import { parseJson } from "../model/parse-json.ts";
import { fileServerNow } from "../system/files/file-server-time.ts";
import { namesIn } from "../system/files/names-in.ts";
import { inTheWayOf } from "../system/files/nearest-existing.ts";
import { beneath, boundsOf, makeBeneath } from "../system/files/open-beneath.ts";
import type { Bounds } from "../system/files/outside-root.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { ownFile, writeByRename } from "../system/files/write-by-rename.ts";
import { asSystemError, errnoOf } from "../system/libc/errno.ts";
import { schedulerJob } from "../system/processes/scheduler-job.ts";
import { thisHost } from "../system/processes/this-host.ts";

const shape = v.object({
  format: v.literal(1),
  /** The array's number; null: it is not known whether it went in. */
  job: v.nullable(v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._[\]-]{0,127}$/))),
  scheduler: v.picklist(["lsf", "slurm", "pbs", "sge"]),
  cluster: v.nullable(v.pipe(v.string(), v.maxLength(256))),
  user: v.pipe(v.string(), v.maxLength(256)),
  host: v.pipe(v.string(), v.maxLength(256)),
  /** Milliseconds since the epoch. */
  submittedAt: v.pipe(v.number(), v.minValue(0)),
  elements: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000)),
  /** What had failed before this time, milliseconds since the epoch, is tried once more; absent: nothing is. */
  retriedSince: v.optional(v.pipe(v.number(), v.minValue(0))),
});

/** An array job whose elements claim rows of a list. */
export type Submitted = v.InferOutput<typeof shape>;

export interface Submission extends Submitted {
  /** Where its list, its script and the notes of its elements are. */
  readonly folder: string;
}

const recordName = "submission.json";
const listName = "grid.jsonl";
const notePrefix = "taken-";
const [largestRecord, mostSubmissions] = [64 * 1024, 5000];

export function submitFolder(lockDir: string): string {
  return join(lockDir, "submit");
}

/** The name of a submission, before it has a job and after. */
export function idOf({ folder }: Pick<Submission, "folder">): string {
  return basename(folder);
}

/** The rows that the elements of a submission choose from: a grid. */
export function listOf(folder: string): string {
  return join(folder, listName);
}

/** Makes the folder of a submission, of a script and the rows that its elements choose from. */
export function makeSubmission(folder: string, script: string, rows: readonly string[]): void {
  const made = makeBeneath(boundsOfSubmission(folder), folder);
  try {
    // Everybody who counts must be able to read it, whatever umask we have.
    writeByRename(join(made.path, "script.sh"), Buffer.from(script));
    writeByRename(listOf(made.path), Buffer.from(rows.map((row) => `${row}\n`).join("")));
  } catch (error) {
    throw made.named(error);
  } finally {
    made.close();
  }
}

export function writeSubmission(folder: string, submitted: Submitted): void {
  writeInSubmission(folder, recordName, `${JSON.stringify(submitted, null, 2)}\n`);
}

function writeInSubmission(folder: string, name: string, text: string): void {
  beneath(boundsOfSubmission(folder), folder, (held) => writeByRename(join(held, name), Buffer.from(text)));
}

/** It lies in a folder of a site's lock dir. */
function boundsOfSubmission(folder: string): Bounds {
  return boundsOf(folder, dirname(dirname(dirname(folder))));
}

/** The submissions of a site, the oldest first. What has another shape is none: another user may have written it. */
export function readSubmissions(lockDir: string): Submission[] {
  const top = submitFolder(lockDir);
  // Their names begin with their time: the newest count.
  const names = (namesOfSubmissions(top) ?? []).filter((name) => !name.endsWith(".out")).sort();
  const found = names.slice(-mostSubmissions).flatMap((name) => {
    const submission = readSubmission(join(top, name));
    return submission === null ? [] : [submission];
  });
  return found.sort((a, b) => a.submittedAt - b.submittedAt);
}

/** Whoever cannot read them cannot tell which rows are queued. */
function namesOfSubmissions(top: string): string[] | null {
  try {
    const names = namesIn(top);
    return names ?? (inTheWayOf(top) === null ? null : readdirSync(top));
  } catch (error) {
    throw asSystemError("read the submissions in", top, error);
  }
}

export function readSubmission(folder: string): Submission | null {
  const reading = readRegularFile(join(folder, recordName), largestRecord);
  const value = reading.kind === "file" ? parseJson(reading.bytes.toString("utf8")) : undefined;
  const parsed = v.safeParse(shape, value);
  return parsed.success ? { ...parsed.output, folder } : null;
}

export function dropSubmission(folder: string): void {
  const above = dirname(folder);
  beneath(boundsOfSubmission(folder), above, (held) =>
    rmSync(join(held, basename(folder)), { recursive: true, force: true }),
  );
}

/** How many a call sweeps at most. */
const mostSwept = 50;
/** A folder without a record: its script was not even given to the scheduler. */
const withoutRecordMs = 24 * 3_600_000;

/**
 * Drops those submissions that are this user's, with the output of their elements: others sweep theirs. So it does with folders
 * of a submit that was killed before it had anything to submit. It is called while nobody else submits.
 */
export function sweepSubmissions(lockDir: string, over: readonly Submission[]): void {
  const { user } = thisHost();
  const top = submitFolder(lockDir);
  const own = over.filter((each) => each.user === user).slice(0, mostSwept);
  try {
    const names = namesIn(top) ?? [];
    const outputs = own.flatMap(({ job }) => names.filter((name) => isOutputOf(job, name)));
    for (const name of outputs) if (ownFile(join(top, name)) !== null) unlinkSync(join(top, name));
    for (const { folder } of own) dropSubmission(folder);
    const unfinished = names.filter((name) => isUnfinished(join(top, name)));
    if (unfinished.length === 0) return;
    const nowMs = fileServerNow(top);
    for (const folder of unfinished.map((name) => join(top, name)))
      if (nowMs - statSync(folder).mtimeMs > withoutRecordMs) dropSubmission(folder);
  } catch (error) {
    // It covers nothing, wherever it stands.
    if (errnoOf(error) === undefined) throw error;
  }
}

function isOutputOf(job: string | null, name: string): boolean {
  return job !== null && name.startsWith(`${arrayNumber(job)}_`) && name.endsWith(".out");
}

/** A folder of this user, named as those of submissions are, without a record. */
function isUnfinished(folder: string): boolean {
  if (!/^\d{8}T\d{6}-[0-9a-f]{8}$/.test(basename(folder))) return false;
  const stats = lstatSync(folder, { throwIfNoEntry: false });
  if (stats?.isDirectory() !== true || stats.uid !== process.geteuid?.()) return false;
  return readRegularFile(join(folder, recordName), 0).kind === "absent";
}

/** An element of an array, in one of its runs: a requeued one begins anew. */
export interface ElementRun {
  readonly index: number;
  readonly restarts: number;
}

export interface Element {
  readonly folder: string;
  readonly run: ElementRun;
  /** What had failed before this time is tried once more; null: nothing is. */
  readonly retriedSinceMs: number | null;
}

/** The element that this process is, and the folder of its submission; null: its grid is no list of a submission. */
export function elementHere(listFile: string, env: Readonly<Record<string, string | undefined>>): Element | null {
  const folder = dirname(resolve(listFile));
  const job = schedulerJob(env);
  const submission = basename(listFile) === listName && job !== null ? readSubmission(folder) : null;
  if (submission === null || job === null) return null;
  const run = { index: Number(job.arrayIndex ?? 1), restarts: job.restartCount };
  return { folder, run, retriedSinceMs: submission.retriedSince ?? null };
}

/** Notes that an element has a row by now, or found none: from then on it covers nothing. */
export function noteTaken(folder: string, { index, restarts }: ElementRun): void {
  writeInSubmission(folder, `${notePrefix}${index}.${restarts}`, "");
}

function readNotes(folder: string): ElementRun[] {
  return (namesIn(folder) ?? []).flatMap((name) => {
    const [, index, restarts] = /^taken-(\d{1,7})\.(\d{1,7})$/.exec(name) ?? [];
    return index === undefined ? [] : [{ index: Number(index), restarts: Number(restarts) }];
  });
}

/** What the scheduler of this host answered; null: nothing. */
export interface SchedulerSays {
  readonly scheduler: Submitted["scheduler"];
  readonly cluster: string | null;
  readonly elements: readonly ListedElement[];
  /** Whether it shows this user the jobs of others; null: not known. */
  readonly showsOthers: boolean | null;
  readonly user: string;
}

/**
 * How many elements of a submission may still take a row: those that have taken none, and that the scheduler does not call ended.
 * Without an answer of its own cluster's scheduler all of the first kind are: a missing answer is no end.
 */
export function waitingElements(submission: Submission, says: SchedulerSays | null): number {
  const notes = readNotes(submission.folder);
  const noted = new Set(notes.map(({ index }) => index));
  const unnoted = Math.max(0, submission.elements - noted.size);
  if (!isAskable(submission, says)) return unnoted;
  const mine = says.elements.filter(({ job }) => job === arrayNumber(submission.job ?? ""));
  const runs = new Set(notes.map(({ index, restarts }) => `${index}.${restarts}`));
  const waits = ({ index, restarts, means }: ListedElement) =>
    means !== "ended" && !(restarts === null ? noted.has(index ?? 1) : runs.has(`${index ?? 1}.${restarts}`));
  const listed = mine.filter(waits).length;
  if (mine.length > 0 || seesAll(submission, says)) return listed;
  return unnoted;
}

/** Whether its scheduler has said how it is. */
export function isAnswered(submission: Submission, says: SchedulerSays | null): boolean {
  if (!isAskable(submission, says)) return false;
  return seesAll(submission, says) || says.elements.some(({ job }) => job === arrayNumber(submission.job ?? ""));
}

/** An accounting database may lag, and people look at a job's script for a while. */
const keptMs = 7 * 24 * 3_600_000;

/**
 * Whether nothing of a submission is left to run: its own scheduler has answered, would show its jobs, and has none that has not
 * ended. A job that is requeued, held or unknown needs its list again.
 */
export function isOver(submission: Submission, says: SchedulerSays | null, nowMs: number): boolean {
  if (!isAskable(submission, says) || !seesAll(submission, says)) return false;
  const mine = says.elements.filter(({ job }) => job === arrayNumber(submission.job ?? ""));
  return mine.every(({ means }) => means === "ended") && nowMs - submission.submittedAt > keptMs;
}

/** Whether the scheduler that answered is the one that has the submission. */
function isAskable(submission: Submission, says: SchedulerSays | null): says is SchedulerSays {
  if (says === null || submission.job === null || says.scheduler !== submission.scheduler) return false;
  return submission.cluster === null || says.cluster === null || submission.cluster === says.cluster;
}

/** Whether a job that the scheduler does not list is one that it has not got (any more). */
function seesAll({ user }: Submission, says: SchedulerSays): boolean {
  if (user === says.user || says.user === "root" || says.showsOthers === true) return true;
  return says.showsOthers === null && says.elements.some((element) => element.user !== says.user);
}
