import type { BigIntStats } from "node:fs";
import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { EnvironmentError } from "../model/errors.ts";
import { inodeNumber } from "../model/inode.ts";
import { normalizeDataset } from "../model/name-parts.ts";
import {
  belongsToAnother,
  configurationOf,
  type FolderBefore,
  isNewer,
  namesAnother,
  type OwnerRecord,
  type RecordReading,
  recordFormat,
} from "../model/owner-record.ts";
import { afterKill, type RunEnds } from "../model/run-ends.ts";
import { withoutSecrets } from "../model/secrets.ts";
import type { SiteConfig } from "../site/site-config.ts";
import { localIso, nowMicroseconds } from "../system/clock/local-time.ts";
import { startTimeTicksOf } from "../system/processes/process-table.ts";
import type { ProcessIdentity } from "../system/processes/process-tree.ts";
import { oneHostStep, otherHostsOf, schedulerJob } from "../system/processes/scheduler-job.ts";
import { thisHost } from "../system/processes/this-host.ts";
import type { ClaimOutcome, EarlierRuns } from "./store.ts";

/** The record of a claim that this process, or its `owner`, is about to hold. */
export function newOwnerRecord(claim: {
  /** Null for who wants to clear a lock, and trains nothing. */
  readonly configuration: Configuration | null;
  readonly token: string;
  /** Null: nobody can count on from it. */
  readonly generation: number | null;
  readonly weightsDir: string;
  /** The inode of the lock file that is held; 0: the file system has no locks; null: the lock is no file. */
  readonly lockInode: bigint | null;
  readonly command: readonly string[] | null;
  readonly owner?: ProcessIdentity;
  readonly earlier?: EarlierRuns;
}): OwnerRecord {
  const { configuration, token, generation, weightsDir, lockInode, command, earlier } = claim;
  const host = thisHost();
  const owner = claim.owner ?? host;
  const job = schedulerJob(process.env);
  const step = oneHostStep(process.env);
  const otherHosts = step === null && job?.kind === "slurm" ? otherHostsOf(process.env) : null;
  const scheduler = job && { ...job, oneHostStep: step, otherHosts };
  return {
    strategy: configuration?.strategy ?? null,
    dataset: configuration === null ? null : normalizeDataset(configuration.dataset),
    model: configuration?.model ?? null,
    ratio: configuration?.ratio ?? null,
    auxLoss: configuration?.auxLoss ?? null,
    jobId: scheduler?.jobId ?? null,
    hostname: host.hostname,
    pid: owner.pid,
    user: host.user,
    acquiredAt: localIso(nowMicroseconds()),
    trainlock: {
      format: recordFormat,
      token,
      generation,
      configuration,
      bootId: host.bootId,
      machineId: host.machineId,
      pidNamespace: host.pidNamespace,
      startTimeTicks: owner.startTimeTicks,
      scheduler,
      // Another process that is to hold the claim is what the claim protects.
      childPid: claim.owner?.pid ?? null,
      childStartTimeTicks: claim.owner?.startTimeTicks ?? null,
      command,
      weightsDir,
      markerInode: null,
      markerTimeNs: null,
      lockInode: lockInode === null ? null : inodeNumber(lockInode),
      releasedAt: null,
      exitCode: null,
      ends: earlier === undefined ? null : endsWithKilled(earlier),
      folderBefore: null,
    },
  };
}

/**
 * A command as it stands in records: without the values of secrets. Empty if the site keeps commands out of records.
 */
export function recordedCommand(
  { recordsCommand }: Pick<SiteConfig, "recordsCommand">,
  command: readonly string[] | null,
): readonly string[] | null {
  if (command === null) return null;
  return recordsCommand ? withoutSecrets(command) : [];
}

type SectionChange = Partial<
  Pick<
    NonNullable<OwnerRecord["trainlock"]>,
    | "generation"
    | "childPid"
    | "childStartTimeTicks"
    | "markerInode"
    | "markerTimeNs"
    | "lockInode"
    | "releasedAt"
    | "exitCode"
    | "ends"
    | "folderBefore"
  >
>;

export function withSection(record: OwnerRecord, change: SectionChange): OwnerRecord {
  return record.trainlock === null ? record : { ...record, trainlock: { ...record.trainlock, ...change } };
}

/** Notes which file the marker of the claim is, and when that was written. */
export function withMarker(record: OwnerRecord, { ino, mtimeNs }: Pick<BigIntStats, "ino" | "mtimeNs">): OwnerRecord {
  return withSection(record, { markerInode: inodeNumber(ino), markerTimeNs: mtimeNs });
}

/** Notes the command's PID and its start time: together they name one process. */
export function withChild(record: OwnerRecord, pid: number, ends?: RunEnds): OwnerRecord {
  const counted = ends === undefined ? {} : { ends };
  return withSection(record, { childPid: pid, childStartTimeTicks: startTimeTicksOf(pid), ...counted });
}

/**
 * Who had a weights dir before `mine` claimed it at `nowNs` of the file server's clock, by the record that lies there. Null:
 * nobody else, as far as the record says.
 */
export function folderBefore(there: RecordReading, mine: Configuration, nowNs: () => bigint): FolderBefore | null {
  if (there.kind !== "record") return null;
  if (!namesAnother(there.record, mine)) return there.record.trainlock?.folderBefore ?? null;
  const configuration = configurationOf(there.record);
  return configuration === null ? null : { configuration, untilNs: nowNs() };
}

/** A record of any writer, closed: nobody holds the lock any more. */
export function asReleased(record: OwnerRecord, { exitCode, ends }: ClaimOutcome = { exitCode: null }): OwnerRecord {
  const releasedAt = localIso(nowMicroseconds());
  if (record.trainlock !== null)
    return withSection(record, { releasedAt, exitCode, ...(ends === undefined ? {} : { ends }) });
  return {
    ...record,
    trainlock: {
      format: recordFormat,
      token: null,
      generation: 0,
      configuration: null,
      bootId: null,
      machineId: null,
      pidNamespace: null,
      startTimeTicks: null,
      scheduler: null,
      childPid: null,
      childStartTimeTicks: null,
      command: null,
      weightsDir: null,
      markerInode: null,
      markerTimeNs: null,
      lockInode: null,
      releasedAt,
      exitCode,
      ends: null,
      folderBefore: null,
    },
  };
}

/** The generation that a record names, 0 where none wrote one. Null: what stands there cannot be counted on from. */
export function generationOf(reading: RecordReading): number | null {
  if (reading.kind === "none") return 0;
  const section = reading.kind === "record" ? reading.record.trainlock : reading.section;
  return section === undefined || section === null ? 0 : section.generation;
}

/** Whether a record says that nobody holds the lock any more, in any format. */
export function isSignedOff(reading: RecordReading): boolean {
  if (reading.kind === "record") return isReleased(reading.record);
  return reading.kind === "unreadable" && isNewer(reading) && reading.section?.isReleased === true;
}

/** As a record has it until somebody has looked for a newer checkpoint. */
export function endsWithKilled({ ends, killed }: Pick<EarlierRuns, "ends" | "killed">): RunEnds {
  return killed === null ? ends : afterKill(ends, ends);
}

export function isReleased(record: OwnerRecord): boolean {
  return record.trainlock !== null && record.trainlock.releasedAt !== null;
}

/** Two configurations whose names come out the same must not take one another's lock for their own. */
export function refuseCollision(record: OwnerRecord, configuration: Configuration, path: string): void {
  const theirs = configurationOf(record);
  if (theirs === null || isReleased(record) || !belongsToAnother(record, configuration)) return;
  throw new EnvironmentError(
    `two configurations have the same lock name ${path}: it is held for ${describeConfiguration(theirs)}, ` +
      `and asked for ${describeConfiguration(configuration)}`,
    { code: "ERR_NAME_COLLISION", hint: "rename one of them, or wait until the other is done" },
  );
}
