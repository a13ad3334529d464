import { type HostName, isHostName } from "../../model/host-name.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import { largestRecordBytes, type OwnerRecord, recordIn, type TrainlockSection } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { mayHideOwner } from "../../system/files/mounts.ts";
import { readRegularFile } from "../../system/files/read-regular-file.ts";
import { readNotedTree } from "../../system/processes/noted-tree.ts";
import type { ProcessIdentity } from "../../system/processes/process-tree.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { isUserName } from "../../system/processes/users.ts";
import { recordWrittenAtMs } from "../record-time.ts";
import type { RecordedJob } from "../schedulers/job-evidence.ts";
import type { SchedulerKind } from "../schedulers/listed-job.ts";
import { isoSeconds } from "../schedulers/times.ts";

/** The process that trainlock recorded, on the host that it named. */
export interface RecordedOwner {
  readonly kind: "recorded";
  readonly host: HostName;
  readonly pid: number;
  /** On which it may have tasks, too. */
  readonly otherHosts: readonly HostName[];
  readonly section: TrainlockSection;
  /** When its record was written, milliseconds since the epoch by the file server's clock; null: not known. */
  readonly writtenAtMs: number | null;
  /** What its wrapper noted of its process tree. */
  readonly noted: readonly ProcessIdentity[];
  /** Where it trains; null: not known. */
  readonly weightsDir: string | null;
  /** Who recorded it, by a name that is one; null: not known. */
  readonly user: string | null;
  /** The lock file that it locked, where that is worth a trial on its host. */
  readonly lock: { readonly path: string; readonly inode: bigint } | null;
}

/** A PID that some job script or the Python tool left: on one host, or on none that is known. */
export interface BareOwner {
  readonly kind: "bare";
  /** Null: on any of its owner's hosts. */
  readonly host: HostName | null;
  /** Null: the marker is empty, as one is whose writer was stopped, or died, before it wrote. */
  readonly pid: number | null;
  /** The marker, beside which its owner's training writes; null for a kernel lock. */
  readonly marker: string | null;
  /** Null: only the name is known, or the file system shows no real owners. */
  readonly uid: number | null;
  readonly user: string | null;
  /** When the lock was taken, seconds since the epoch. */
  readonly since: number;
  /** When owner, mode or times of the marker were changed last, which anybody can; `since` where they were not. */
  readonly changedAt: number;
}

export interface Owner {
  readonly process: RecordedOwner | BareOwner | null;
  readonly job: (RecordedJob & { readonly kind: SchedulerKind | null }) | null;
}

/** What a lock says that others can be asked about. It has no text that is no valid host name. */
export function ownerOf(facts: LockFacts): Owner {
  const { kind, record, marker } = facts;
  if (record !== null) return { process: recordedProcess(record, facts), job: recordedJob(record, facts) };
  if (kind !== "file" || marker === null || marker.content === "foreign") return { process: null, job: null };
  const since = Number(marker.modifiedNs / 1_000_000n) / 1000;
  const changedAt = Math.max(since, Number(marker.changedNs / 1_000_000n) / 1000);
  const { pid } = marker;
  const uid = mayHideOwner(facts.path, marker.uid) ? null : marker.uid;
  return {
    process: { kind: "bare", host: null, pid, marker: facts.path, uid, user: null, since, changedAt },
    job: null,
  };
}

function recordedProcess(record: OwnerRecord, facts: LockFacts): RecordedOwner | BareOwner | null {
  const { hostname, pid, trainlock: section } = record;
  if (hostname === null || !isHostName(hostname) || pid === null) return null;
  if (section !== null && section.bootId !== null) {
    const weightsDir = facts.weightsDir ?? section.weightsDir;
    const noted = notedProcesses(section, weightsDir);
    const user = record.user !== null && isUserName(record.user) ? record.user : null;
    const lock = lockOf(section, facts);
    return {
      kind: "recorded",
      host: hostname,
      pid,
      otherHosts: section.scheduler?.otherHosts ?? [],
      section,
      writtenAtMs: recordWrittenAtMs(facts),
      noted,
      weightsDir,
      user,
      lock,
    };
  }
  const since = latest(isoSeconds(record.acquiredAt), recordWrittenAtMs(facts));
  return since === null || isEveryHosts(hostname)
    ? null
    : { kind: "bare", host: hostname, pid, marker: null, uid: null, user: record.user, since, changedAt: since };
}

/** A name that leads each host to itself: who wrote it may have been on any. */
function isEveryHosts(hostname: HostName): boolean {
  return /^localhost(?:\d?$|\d?\.)/i.test(hostname);
}

/**
 * When an old job took its lock. It wrote down its local time, and hosts may be of different time zones: too early a time would
 * make a living job look younger than its lock. Its file was written in the same moment, by the file server's clock.
 */
function latest(saidSeconds: number | null, writtenAtMs: number | null): number | null {
  if (saidSeconds === null || writtenAtMs === null) return saidSeconds;
  return Math.max(saidSeconds, writtenAtMs / 1000);
}

function notedProcesses({ token, bootId, pidNamespace }: TrainlockSection, weightsDir: string | null) {
  if (token === null || bootId === null || weightsDir === null) return [];
  return readNotedTree(weightsDir, { token, bootId, pidNamespace });
}

/**
 * A lock that is free on this host may be held on its owner's, where locks do not leave a host. That says nothing about an
 * owner whose lock has another claim's record by now. On this very kernel a trial would only find the lock of a claim that asks.
 */
function lockOf(
  { token, lockInode, bootId }: TrainlockSection,
  { kernelLock, lockPath }: LockFacts,
): RecordedOwner["lock"] {
  if (bootId !== null && bootId === thisHost().bootId) return null;
  if (kernelLock.state !== "free" || lockInode === null || lockInode === 0n) return null;
  const file = readRegularFile(lockPath, largestRecordBytes);
  const written = file.kind === "file" ? recordIn(parseOwnerRecord(file.bytes)) : null;
  const isAnothers = (written?.trainlock?.token ?? token) !== token;
  return isAnothers ? null : { path: lockPath, inode: lockInode };
}

function recordedJob(record: OwnerRecord, facts: LockFacts): Owner["job"] {
  const said = isoSeconds(record.acquiredAt);
  // Old jobs write their record once; those of trainlock are written again while they hold.
  const lockedAt = record.trainlock === null ? latest(said, recordWrittenAtMs(facts)) : said;
  const whose = { user: record.user, host: record.hostname };
  const scheduler = record.trainlock?.scheduler ?? null;
  if (scheduler !== null) {
    const { kind, jobId, arrayIndex, cluster, startedAt, oneHostStep, restartCount } = scheduler;
    const isOfOneHost = oneHostStep !== null;
    return { kind, id: jobId, arrayIndex, cluster, startedAt, isOfOneHost, restartCount, ...whose, lockedAt };
  }
  // Names such as `local` are written by scripts outside any job.
  if (record.jobId === null || !/^\d/.test(record.jobId)) return null;
  const unsaid = { arrayIndex: null, cluster: null, startedAt: null, isOfOneHost: false, restartCount: null };
  return { kind: null, id: record.jobId, ...unsaid, ...whose, lockedAt };
}
