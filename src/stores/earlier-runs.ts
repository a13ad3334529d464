import type { Configuration } from "../model/configuration.ts";
import {
  belongsToAnother,
  isAnother,
  type OwnerRecord,
  type RecordReading,
  sameConfiguration,
} from "../model/owner-record.ts";
import { noRunEnds } from "../model/run-ends.ts";
import type { Layout } from "../site/layout.ts";
import { asReleased, endsWithKilled, isReleased } from "./claim-record.ts";
import type { EarlierRuns } from "./store.ts";

/**
 * The runs before a claim, by what records say of the same configuration: the one of the highest generation counts, and of two
 * of one claim the one that was closed.
 */
export function earlierRuns(
  readings: readonly RecordReading[],
  layout: Layout,
  configuration: Configuration,
): EarlierRuns {
  const last = lastRecord(readings, (record) => isOf(record, layout, configuration));
  const ends = last?.trainlock?.ends ?? noRunEnds;
  const generation = last?.trainlock?.generation ?? null;
  return { ends, generation, killed: last !== null && wasKilled(last) ? last : null, evidence: [] };
}

function lastRecord(readings: readonly RecordReading[], isMeant: (record: OwnerRecord) => boolean): OwnerRecord | null {
  const rank = (record: OwnerRecord) => 2 * (record.trainlock?.generation ?? 0) + (isReleased(record) ? 1 : 0);
  return readings
    .flatMap((reading) => (reading.kind === "record" ? [reading.record] : []))
    .filter(isMeant)
    .reduce<OwnerRecord | null>((best, record) => (best === null || rank(record) > rank(best) ? record : best), null);
}

/**
 * The record of the last run of a configuration, for people. Records of old jobs count, too, though they name their configuration
 * less exactly.
 */
export function lastRunRecord(
  readings: readonly RecordReading[],
  layout: Layout,
  mine: Configuration,
): OwnerRecord | null {
  const isOld = (record: OwnerRecord) => !record.trainlock?.configuration && !belongsToAnother(record, mine);
  return lastRecord(readings, (record) => isOf(record, layout, mine) || isOld(record));
}

/**
 * Prefers what a remote store says to what the files say. If locks were only on the files until now, the store knows nothing
 * of them.
 */
export function storeBeforeFiles<T>(remote: EarlierRuns, files: T): EarlierRuns | T {
  return remote.ends.lastEnd === null && remote.killed === null ? files : remote;
}

function isOf(record: OwnerRecord, layout: Layout, mine: Configuration): boolean {
  return isLockOf(record.trainlock?.configuration ?? null, layout, mine);
}

/** Stages may share a weights dir, and then the record in it; each has a lock of its own. */
function isLockOf(theirs: Configuration | null, layout: Layout, mine: Configuration): boolean {
  if (theirs === null || isAnother(theirs, mine)) return false;
  if (sameConfiguration(theirs, mine)) return true;
  try {
    return layout.kernelLockPath(theirs) === layout.kernelLockPath(mine);
  } catch {
    // No template is for it any more.
    return false;
  }
}

/** Whether something was trained under a claim that nobody has closed. A command that was never noted has hardly begun. */
function wasKilled(record: OwnerRecord): boolean {
  const { trainlock } = record;
  if (trainlock === null || trainlock.token === null || isReleased(record)) return false;
  return trainlock.childPid !== null || trainlock.command === null;
}

/** A record that its owner can close no more. */
export function asCleared(record: OwnerRecord): OwnerRecord {
  if (!wasKilled(record)) return asReleased(record);
  const ends = endsWithKilled({ ends: record.trainlock?.ends ?? noRunEnds, killed: record });
  return asReleased(record, { exitCode: null, ends });
}

export const noEarlierRuns: EarlierRuns = { ends: noRunEnds, generation: null, killed: null, evidence: [] };
