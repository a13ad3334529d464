import type { Configuration } from "./configuration.ts";
import type { DimensionValues } from "./dimensions.ts";
import { normalizeDataset } from "./name-parts.ts";
import { nameProblem } from "./names.ts";

/** Where a job runs, as its scheduler's environment names it. */
export interface SchedulerJob {
  readonly kind: "lsf" | "slurm" | "pbs" | "sge";
  readonly jobId: string;
  readonly arrayIndex: string | null;
  /** Slurm: the id of the whole array, by which people name an element (`4700_12`, whose own id is 4711). */
  readonly arrayJobId?: string;
  /** How often the scheduler has requeued it: tells two runs of one job id apart. */
  readonly restartCount: number;
  readonly submittedAt: string | null;
}

/** What trainlock adds to the keys that the older writers use. */
export interface TrainlockSection {
  readonly format: number;
  /** 128 random bits in hex: names one claim, whatever PIDs and inodes do. */
  readonly token: string | null;
  readonly generation: number;
  readonly configuration: Configuration | null;
  readonly bootId: string | null;
  readonly machineId: string | null;
  /** Inode of the PID namespace the owner's PIDs belong to. */
  readonly pidNamespace: number | null;
  /** Field 22 of `/proc/PID/stat`: clock ticks from boot to the owner's start. */
  readonly startTimeTicks: number | null;
  readonly scheduler: SchedulerJob | null;
  readonly childPid: number | null;
  /** The same of the command; null in records of versions that did not write it. */
  readonly childStartTimeTicks: number | null;
  readonly command: readonly string[] | null;
  readonly weightsDir: string | null;
  /** Some network file systems use all 64 bits of it. */
  readonly markerInode: bigint | null;
  /** The lock file that its owner locked: one that was made after an unlink proves nothing about that owner. 0: it locked none. */
  readonly lockInode: bigint | null;
  readonly releasedAt: string | null;
  readonly exitCode: number | null;
}

/** Who holds or last held a lock. Every field may be absent: old writers know less, and files lie. */
export interface OwnerRecord {
  readonly strategy: string | null;
  readonly dataset: string | null;
  readonly model: string | null;
  readonly ratio: number | null;
  readonly auxLoss: string | null;
  readonly jobId: string | null;
  readonly hostname: string | null;
  readonly pid: number | null;
  readonly user: string | null;
  readonly acquiredAt: string | null;
  /** Null for the older writers. */
  readonly trainlock: TrainlockSection | null;
}

/** `none`: nothing is written there. `unreadable`: something is, and it says nothing that can be trusted. */
export type RecordReading =
  | { readonly kind: "none" }
  | { readonly kind: "unreadable"; readonly reason: string }
  | { readonly kind: "record"; readonly record: OwnerRecord };

/** The record that was read; null where there is none, or none that can be trusted. */
export function recordIn(reading: RecordReading): OwnerRecord | null {
  return reading.kind === "record" ? reading.record : null;
}

export const recordFormat = 1;
export const largestRecordBytes = 64 * 1024;
/** `PID_MAX_LIMIT` of Linux on 64 bit (proc(5), pid_max): no process has a higher number. */
export const largestPid = 4_194_304;

export function isPid(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= largestPid;
}

/**
 * Whether a record speaks of another configuration than `mine`. Old writers record less than a configuration (no stage, the
 * dataset normalized), so only what both sides know can differ.
 */
export function belongsToAnother(record: OwnerRecord, mine: Configuration): boolean {
  const exact = record.trainlock?.configuration ?? null;
  const theirs = exact ?? record;
  const sameDataset = exact === null ? normalizeDataset : (dataset: string) => dataset.toLowerCase();
  const differs = (a: unknown, b: unknown) => a !== null && a !== b;
  return (
    differs(theirs.strategy, mine.strategy) ||
    differs(theirs.model, mine.model) ||
    differs(theirs.ratio, mine.ratio) ||
    differs(theirs.auxLoss, mine.auxLoss) ||
    (exact !== null && !sameDimensions(exact.dimensions, mine.dimensions)) ||
    (theirs.dataset !== null && sameDataset(theirs.dataset) !== sameDataset(mine.dataset))
  );
}

function sameDimensions(a: DimensionValues, b: DimensionValues): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** The configuration a record speaks of, as far as it says. Names that are none make no configuration: paths come of it. */
export function configurationOf(record: OwnerRecord): Configuration | null {
  if (record.trainlock?.configuration) return record.trainlock.configuration;
  const { strategy, dataset, model, ratio, auxLoss } = record;
  if (strategy === null || dataset === null || model === null) return null;
  const names = auxLoss === null ? [strategy, dataset, model] : [strategy, dataset, model, auxLoss];
  if (names.some((value) => nameProblem(value) !== null)) return null;
  if (ratio !== null && !(ratio >= 0 && ratio <= 1)) return null;
  return { strategy, dataset, model, ratio, auxLoss, stage: null, dimensions: {} };
}

/** A job as its scheduler spells it: `123[3]` of LSF, `4700_12` of Slurm, `123.3` of Grid Engine; else the recorded id. */
export function spelledJobId({ jobId, trainlock }: OwnerRecord): string | null {
  const job = trainlock?.scheduler ?? null;
  if (job === null || job.arrayIndex === null || job.jobId !== jobId) return jobId;
  switch (job.kind) {
    case "lsf":
      return `${job.jobId}[${job.arrayIndex}]`;
    case "slurm":
      return job.arrayJobId === undefined ? jobId : `${job.arrayJobId}_${job.arrayIndex}`;
    case "sge":
      return `${job.jobId}.${job.arrayIndex}`;
    case "pbs":
      return jobId;
  }
}
