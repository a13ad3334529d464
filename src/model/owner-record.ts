import type { Configuration } from "./configuration.ts";
import type { DimensionValues } from "./dimensions.ts";
import { normalizeDataset } from "./name-parts.ts";
import { nameProblem } from "./names.ts";
import type { FolderBefore, OwnerRecord, SchedulerJob, TrainlockSection } from "./owner-record-fields.ts";

export type { FolderBefore, OwnerRecord, SchedulerJob, TrainlockSection };

/** `none`: nothing is written there. `unreadable`: something is, and it says nothing that can be trusted. */
export type RecordReading =
  | { readonly kind: "none" }
  | UnreadableRecord
  | { readonly kind: "record"; readonly record: OwnerRecord };

export interface UnreadableRecord {
  readonly kind: "unreadable";
  readonly reason: string;
  /** Set where a trainlock wrote it, in a format or in words that this one does not know. */
  readonly section?: UnknownSection;
}

/** What can be read of a record that another trainlock wrote. */
export interface UnknownSection {
  /** Null: no number stands there. */
  readonly format: number | null;
  /** Null: it cannot be read. */
  readonly generation: number | null;
  /** Null: it cannot be read whether its owner has released it. */
  readonly isReleased: boolean | null;
  /** The whole document. */
  readonly document: Readonly<Record<string, unknown>>;
}

/** The record that was read; null where there is none, or none that can be trusted. */
export function recordIn(reading: RecordReading): OwnerRecord | null {
  return reading.kind === "record" ? reading.record : null;
}

export const recordFormat = 1;
/** Whether it is of a format that only a newer trainlock knows. */
export function isNewer(reading: RecordReading): boolean {
  return reading.kind === "unreadable" && (reading.section?.format ?? 0) > recordFormat;
}

export const largestRecordBytes = 64 * 1024;
/**
 * Whether a record speaks of another configuration than `mine`. Old writers record less than a configuration (no stage, the
 * dataset normalized), so only what both sides know can differ.
 */
export function belongsToAnother(record: OwnerRecord, mine: Configuration): boolean {
  const exact = record.trainlock?.configuration ?? null;
  return exact === null ? differs(record, mine, normalizeDataset) : isAnother(exact, mine);
}

/** The same of a configuration that a record names whole. */
export function isAnother(theirs: Configuration, mine: Configuration): boolean {
  return (
    differs(theirs, mine, (dataset) => dataset.toLowerCase()) || !sameDimensions(theirs.dimensions, mine.dimensions)
  );
}

type Named = Pick<OwnerRecord, "strategy" | "dataset" | "model" | "ratio" | "auxLoss">;

function differs(theirs: Named, mine: Configuration, spelled: (dataset: string) => string): boolean {
  const isOther = (a: unknown, b: unknown) => a !== null && a !== b;
  return (
    isOther(theirs.strategy, mine.strategy) ||
    isOther(theirs.model, mine.model) ||
    isOther(theirs.ratio, mine.ratio) ||
    isOther(theirs.auxLoss, mine.auxLoss) ||
    (theirs.dataset !== null && spelled(theirs.dataset) !== spelled(mine.dataset))
  );
}

/** Whether a record names a configuration that is not `mine`, as far as the record says. */
export function namesAnother(record: OwnerRecord, mine: Configuration): boolean {
  const exact = record.trainlock?.configuration ?? null;
  return exact === null ? belongsToAnother(record, mine) : !sameConfiguration(exact, mine);
}

/** All fields equal; datasets that differ in capitals alone have one lock and are one. */
export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return (
    a.strategy === b.strategy &&
    a.dataset.toLowerCase() === b.dataset.toLowerCase() &&
    a.model === b.model &&
    a.ratio === b.ratio &&
    a.auxLoss === b.auxLoss &&
    a.stage === b.stage &&
    sameDimensions(a.dimensions, b.dimensions)
  );
}

function sameDimensions(a: DimensionValues, b: DimensionValues): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && a[name] === b[name]);
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

/** The job of a record as its scheduler spells it; else the recorded id. */
export function spelledJobId({ jobId, trainlock }: OwnerRecord): string | null {
  const job = trainlock?.scheduler ?? null;
  return job === null || job.jobId !== jobId ? jobId : spelledJob(job);
}

/** A job as its scheduler spells it: `123[3]` of LSF, `4700_12` of Slurm, `123.3` of Grid Engine. */
export function spelledJob({ kind, jobId, arrayIndex, arrayJobId }: SchedulerJob): string {
  if (arrayIndex === null) return jobId;
  switch (kind) {
    case "lsf":
      return `${jobId}[${arrayIndex}]`;
    case "slurm":
      return arrayJobId === null ? jobId : `${arrayJobId}_${arrayIndex}`;
    case "sge":
      return `${jobId}.${arrayIndex}`;
    case "pbs":
      return jobId;
  }
}
