import { messageOf } from "../model/errors.ts";
import { type OwnerRecord, spelledJobId } from "../model/owner-record.ts";
import type { RunEnds } from "../model/run-ends.ts";
import { shellWord } from "../model/shell-word.ts";
import { asksAnything, type DoneRule } from "../run/done-rule.ts";
import { logsIn, type RunLog } from "../run/run-logs.ts";
import { whatIsMissing } from "../run/what-is-missing.ts";
import type { Layout } from "../site/layout.ts";
import { isReleased } from "../stores/claim-record.ts";
import { earlierRuns, lastRunRecord, storeBeforeFiles } from "../stores/earlier-runs.ts";
import { readLockRecord } from "../stores/folder/lock-file.ts";
import { readMarkerRecord } from "../stores/folder/read-marker.ts";
import type { RemoteLocks } from "../stores/lease/remote-locks.ts";
import { configurationFlags } from "./next-command.ts";
import type { PlannedRow } from "./plan.ts";

/** The run that a row's owner record is about. */
export interface LastRun {
  readonly generation: number | null;
  readonly user: string | null;
  readonly job: string | null;
  readonly host: string | null;
  readonly started: string | null;
  /** Null: it goes on, or its lock was never released. */
  readonly ended: string | null;
  readonly exitCode: number | null;
  readonly ends: RunEnds;
}

/** Why a row is in the state that it is in. */
export interface Explanation {
  readonly row: PlannedRow;
  readonly kernelLock: string;
  /** The address of its key; null: the site's locks are files. */
  readonly key: string | null;
  readonly rule: DoneRule;
  /** In words, the reason first. */
  readonly because: readonly string[];
  readonly lastRun: LastRun | null;
  /** The newest first. */
  readonly logs: readonly RunLog[];
  /** What would give it another state, each a sentence with the command to type. */
  readonly change: readonly string[];
}

export interface Explaining {
  readonly layout: Layout;
  /** Null: the site's locks are files. */
  readonly store: RemoteLocks | null;
  readonly rule: DoneRule;
  /** The options of the call that gave it, each after a blank. */
  readonly doneFlags: string;
  readonly maxAttempts: number;
}

/** Looks at what lies beside a planned row, and puts it into words. Changes nothing. */
export async function explainRow(
  row: PlannedRow,
  { layout, store, rule, doneFlags, maxAttempts }: Explaining,
): Promise<Explanation> {
  const { configuration, weightsDir } = row;
  const kernelLock = layout.kernelLockPath(configuration);
  const inFiles = [readMarkerRecord(weightsDir).reading, readLockRecord(kernelLock)];
  const inStore = (await store?.records([configuration])) ?? [];
  const { ends } = storeBeforeFiles(
    earlierRuns(inStore, layout, configuration),
    earlierRuns(inFiles, layout, configuration),
  );
  const record = lastRunRecord(inStore, layout, configuration) ?? lastRunRecord(inFiles, layout, configuration);
  return {
    row,
    kernelLock,
    key: store?.pathOf(configuration) ?? null,
    rule,
    because: reasons(row, await undone(row, rule), maxAttempts),
    lastRun: record === null ? null : lastRunOf(record, ends),
    logs: logsIn(weightsDir),
    change: changes(row, rule, doneFlags),
  };
}

function lastRunOf(record: OwnerRecord, ends: RunEnds): LastRun {
  const { user, hostname, acquiredAt, trainlock } = record;
  return {
    generation: trainlock?.generation ?? null,
    user,
    job: spelledJobId(record),
    host: hostname,
    started: acquiredAt,
    ended: isReleased(record) ? (trainlock?.releasedAt ?? null) : null,
    exitCode: trainlock?.exitCode ?? null,
    ends,
  };
}

function reasons(
  { state, lock, doneBy, reason, ends, queued }: PlannedRow,
  undone: string,
  maxAttempts: number,
): string[] {
  const of =
    lock === null
      ? ""
      : `${lock.kind === "file" ? "marker" : lock.kind === "etcd" ? "key" : "kernel lock"} ${lock.path}`;
  const verdict = lock === null ? [] : [`${of} is ${lock.verdict.label}`];
  const checkpoint = doneBy === null ? [] : [`${doneBy} is there, but counts only while nobody holds it`];
  switch (state) {
    case "running":
      return [...verdict, ...checkpoint];
    case "unknown":
      return [...(reason === null ? verdict : [reason]), ...checkpoint];
    case "done":
      return [`${doneBy} shows it, and nobody holds it`];
    case "queued":
      if (queued === null) return ["a job covers it"];
      if (queued.doubt === "submission")
        return [`${queued.job} of ${queued.user} covers it; whether the scheduler has it is not known`];
      return [
        `job ${queued.job}, submitted by ${queued.user}, covers it`,
        ...(queued.doubt === null ? [] : ["its scheduler does not say how that job is"]),
      ];
    case "blocked":
      return [reason ?? "what it needs is not there"];
    case "failed":
      return [
        `failed runs since the last one that was done: ${ends.attempts}; no more than ${maxAttempts} are tried (max_attempts)`,
        ...(ends.lastExit === 0 ? [`the last one ended with exit code 0; ${undone}`] : []),
      ];
    case "stale":
      return [...verdict, undone];
    case "free":
      return ["no lock is left", undone];
  }
}

/** Of a row that is not done. */
async function undone({ weightsDir }: PlannedRow, rule: DoneRule): Promise<string> {
  if (!asksAnything(rule)) return "no done rule says when it is trained";
  try {
    return `the done rule does not hold: ${await whatIsMissing(weightsDir, rule)}`;
  } catch (error) {
    return `what the done rule asks for cannot be looked at: ${messageOf(error)}`;
  }
}

function changes(
  { state, configuration, doneBy, lock, queued }: PlannedRow,
  rule: DoneRule,
  doneFlags: string,
): string[] {
  const flags = configurationFlags(configuration);
  const run = `trainlock run ${flags}${doneFlags} -- COMMAND`;
  const declare = asksAnything(rule)
    ? []
    : ["declare `done:` in trainlock.yaml, or give --done-when: then trainlock knows when it is trained"];
  switch (state) {
    case "running":
      return [`its end; to wait for it: trainlock run ${flags}${doneFlags} --wait -- COMMAND`];
    case "unknown":
      if (lock === null) return ["what keeps it from being looked at"];
      return [
        `once you know that nobody trains it: trainlock clear ${flags} --force --no-dry-run`,
        ...(doneBy === null ? [] : ["it is done then"]),
      ];
    case "done":
      return [`nothing is left to do; to train it again, move ${doneBy} away first`];
    case "queued":
      return [
        "the start of that job",
        ...(queued === null ? [] : [`if that job is no more: trainlock submit --forget ${shellWord(queued.job)}`]),
      ];
    case "blocked":
      return ["what it needs"];
    case "failed":
      return [
        `one more run by hand: ${run}`,
        "all that failed once more: trainlock work GRID --retry-failed -- COMMAND",
        "a larger `max_attempts`",
      ];
    case "stale":
      return [`the next run takes the lock over: ${run}`, ...declare];
    case "free":
      return [`a run: ${run}`, ...declare];
  }
}
