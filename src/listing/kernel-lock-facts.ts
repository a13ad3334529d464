import type { BigIntStats } from "node:fs";
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Configuration } from "../model/configuration.ts";
import type { KernelLockState, LockFacts } from "../model/lock-facts.ts";
import { configurationOf, type OwnerRecord, type RecordReading, recordIn } from "../model/owner-record.ts";
import { isKernelLockName, kernelLockStem, type Layout } from "../site/layout.ts";
import { type PlaceHere, placeHere } from "../site/place-here.ts";
import { type OnUnreadable, weightsFolders } from "../site/weights-folders.ts";
import { isReleased, isSignedOff } from "../stores/claim-record.ts";
import {
  type ProbedKernelLock,
  probeIdleKernelLock,
  probeIdleKernelLockSoon,
  probeKernelLock,
  unreleasedMarkerRecord,
} from "../stores/folder/kernel-lock-probe.ts";
import { interpretFreeLock, readLockRecord } from "../stores/folder/lock-file.ts";
import { isUnreachable, notUtf8 } from "../system/files/byte-names.ts";
import { callsFor, type Now } from "../system/files/folder-calls.ts";
import { namesIn } from "../system/files/names-in.ts";
import { inTheWayOf } from "../system/files/nearest-existing.ts";
import { errnoOf, isErrno } from "../system/libc/errno.ts";
import { inLanes } from "../system/map-concurrent.ts";
import { flockHoldersOf } from "../system/processes/flock-holders.ts";
import { type RemovedLock, removedLocksIn } from "../system/processes/removed-locks.ts";

/** A file of the lock dir and what was found of its lock. */
export interface FoundKernelLock extends ProbedKernelLock {
  readonly path: string;
  /** Who holds it by a file that has lost this name. */
  readonly removedBy?: number;
}

/** What a lock is for: the name of its configuration, and where that trains; null: not known. */
type Place = Pick<LockFacts, "name" | "weightsDir">;

/** So many holders are waited for at once. */
const mostProbes = 1000;

/** Every file of the lock dir that is held, or whose last owner did not sign off. Asked all at once. */
export async function kernelLockFacts(layout: Layout, onUnreadable: OnUnreadable): Promise<LockFacts[]> {
  const locks = new KernelLockFinder(layout, null);
  await inLanes(lockFiles(layout.lockDir, onUnreadable), locks.lanes, (path) => {
    const record = locks.look(path);
    // The records of 100,000 files are not kept.
    return record instanceof Promise ? record.then(() => undefined) : undefined;
  });
  return locks.facts(onUnreadable, () => foldersByLock(layout, onUnreadable));
}

/** The same of what was found already; `foldersOf`: the weights dir that each lock file is for, by its path. */
async function factsOfFound(
  layout: Layout,
  probed: FoundKernelLock[],
  onUnreadable: OnUnreadable,
  foldersOf: () => Promise<ReadonlyMap<string, string>>,
): Promise<LockFacts[]> {
  for (const removed of removedLocksIn(layout.lockDir)) {
    const at = probed.findIndex(({ path }) => path === removed.path);
    if (probed[at]?.lock.state !== "held") probed.splice(at < 0 ? probed.length : at, at < 0 ? 0 : 1, heldBy(removed));
  }
  for (const { path, lock, reading } of probed) {
    if (lock.state === "unknown" && !isUnsigned(reading)) onUnreadable(path, lock.why);
  }
  const found = probed.filter(isLock);
  const records = new Map(found.map((lock) => [lock.path, writtenRecord(lock)]));
  const nameless = found.filter((lock) => records.get(lock.path) === null);
  const folders = nameless.length === 0 ? new Map<string, string>() : await foldersOf();
  for (const { path, lock } of nameless) {
    const weightsDir = folders.get(path);
    // What lies beside the marker may be of an earlier claim than what was written over in the lock file.
    if (weightsDir !== undefined && lock.state === "held") records.set(path, unreleasedMarkerRecord(weightsDir));
  }
  const pids = openHolders(
    found.filter((lock) => lock.lock.state === "held" && (records.get(lock.path)?.pid ?? null) === null),
  );
  return found.map((lock) => {
    const record = records.get(lock.path) ?? null;
    return factsOf(layout, lock, record, folders.get(lock.path) ?? null, pids.get(lock.path)?.[0] ?? null);
  });
}

/** Kernel locks, each looked at when its turn comes, all judged together at the end. */
export class KernelLockFinder {
  /** How many are worth being looked at at once. */
  readonly lanes: number;
  readonly #layout: Layout;
  readonly #listed: ReadonlySet<string> | null;
  readonly #locks: FoundKernelLock[] = [];
  readonly #busy: string[] = [];

  /**
   * `listed`: the lock files that are there; the lock dir is listed again at the end. To look for 10,000 files that are not there
   * would take longer than all else. Null: each file is looked for.
   */
  constructor(layout: Layout, listed: ReadonlySet<string> | null = listedIn(layout.lockDir)) {
    this.#layout = layout;
    this.#listed = listed;
    this.lanes = callsFor(layout.lockDir).lanes;
  }

  /** The record of the last claim, if its owner has released it; null: there is none, or it does not say so. */
  look(path: string): Now<OwnerRecord | null> {
    if (this.#listed?.has(basename(path)) === false) return null;
    const { lockPrimitive } = this.#layout.site;
    if (this.lanes === 1) return this.#found(path, probeIdleKernelLock(path, lockPrimitive));
    return probeIdleKernelLockSoon(path, lockPrimitive).then((probed) => this.#found(path, probed));
  }

  /** Those that are held, or whose last owner did not sign off. `foldersOf`: the weights dir of each, by its path. */
  async facts(onUnreadable: OnUnreadable, foldersOf: () => Promise<ReadonlyMap<string, string>>): Promise<LockFacts[]> {
    const { lockDir, site } = this.#layout;
    // A link that leads nowhere on this host may lead to locks on another.
    if (this.#listed?.size === 0 && inTheWayOf(lockDir) !== null) onUnreadable(lockDir, "ENOENT");
    if (this.#listed !== null)
      for (const name of listedIn(lockDir) ?? []) if (!this.#listed.has(name)) this.#busy.push(join(lockDir, name));
    const held = await inLanes(this.#busy, mostProbes, async (path): Promise<FoundKernelLock> => {
      return { path, ...(await probeKernelLock(path, site.lockPrimitive)) };
    });
    return factsOfFound(this.#layout, [...this.#locks, ...held.filter(mayBeLocked)], onUnreadable, foldersOf);
  }

  #found(path: string, probed: ProbedKernelLock | null): OwnerRecord | null {
    if (probed === null) {
      this.#busy.push(path);
      return null;
    }
    if (mayBeLocked({ path, ...probed })) this.#locks.push({ path, ...probed });
    const record = recordIn(probed.reading);
    return record !== null && isReleased(record) ? record : null;
  }
}

/** The lock files that are there; null where that cannot be known. */
function listedIn(lockDir: string): ReadonlySet<string> | null {
  try {
    return new Set(namesIn(lockDir)?.filter(isKernelLockName));
  } catch {
    return null;
  }
}

function mayBeLocked(found: FoundKernelLock): boolean {
  return found.lock.state === "unknown" || isLock(found);
}

/** The kernel lock of one configuration, unless it is free and signed off. */
export async function kernelLockFactsOf(layout: Layout, path: string, weightsDir: string): Promise<LockFacts | null> {
  const probed: FoundKernelLock = { path, ...(await probeKernelLock(path, layout.site.lockPrimitive)) };
  const removed = mayBeHeldElsewhere(probed) ? removedLocksIn(dirname(path), basename(path))[0] : undefined;
  const found = removed === undefined ? probed : heldBy(removed);
  if (!isLock(found) && found.lock.state !== "unknown") return null;
  const record = writtenRecord(found) ?? (found.lock.state === "held" ? unreleasedMarkerRecord(weightsDir) : null);
  const pid =
    found.lock.state === "held" && (record?.pid ?? null) === null ? openHolders([found]).get(path)?.[0] : null;
  return factsOf(layout, found, record, weightsDir, pid ?? null);
}

/** What the records say, with nobody asked: files whose last owner did not sign off. */
export function recordedKernelLockFacts(layout: Layout, onUnreadable: OnUnreadable): LockFacts[] {
  const found = lockFiles(layout.lockDir, onUnreadable).map((path): FoundKernelLock => {
    return { path, lock: { state: "free" }, reading: readLockRecord(path), stats: null };
  });
  return found.filter(isLock).map((lock) => factsOf(layout, lock, writtenRecord(lock), null, null));
}

function factsOf(
  layout: Layout,
  lock: FoundKernelLock,
  record: OwnerRecord | null,
  folder: string | null,
  openedBy: number | null,
): LockFacts {
  return {
    kind: "fcntl",
    ...placeOf(layout, lock.path, record, folder),
    path: lock.path,
    lockPath: lock.path,
    kernelLock: stateOf(lock, record),
    record,
    recordProblem: lock.reading.kind === "unreadable" ? lock.reading : null,
    marker: null,
    pid: record?.pid ?? lock.removedBy ?? openedBy,
    startedAt: record?.acquiredAt ?? null,
  };
}

/** Its file was removed, and a process of this host holds it: what lies under its name now says nothing. */
function heldBy({ path, pid }: RemovedLock): FoundKernelLock {
  return { path, lock: { state: "held" }, reading: { kind: "none" }, stats: null, removedBy: pid };
}

/** Old tools remove lock files; who has locked one since by trainlock has looked, and its record tells. */
function mayBeHeldElsewhere({ lock, reading }: FoundKernelLock): boolean {
  if (lock.state === "absent") return true;
  return lock.state === "free" && (reading.kind !== "record" || reading.record.trainlock === null);
}

/** A free file tells nothing about an owner who had locked another one under this name. */
function stateOf({ lock, stats }: FoundKernelLock, record: OwnerRecord | null): KernelLockState {
  if (lock.state !== "free" || stats === null) return lock;
  return interpretFreeLock(record, { inode: stats.ino, created: false, excludes: true });
}

function lockFiles(lockDir: string, onUnreadable: OnUnreadable): string[] {
  try {
    const paths = readdirSync(lockDir)
      .filter(isKernelLockName)
      .map((name) => join(lockDir, name));
    for (const path of paths) if (isUnreachable(path)) onUnreadable(path, notUtf8);
    return paths;
  } catch (error) {
    // A link that leads nowhere on this host may lead to locks on another.
    if (!isErrno(error, "ENOENT") || inTheWayOf(lockDir) !== null)
      onUnreadable(lockDir, errnoOf(error) ?? String(error));
    return [];
  }
}

/** A free file that is empty or signed off is no lock, only the place of one. */
function isLock({ lock, reading }: FoundKernelLock): boolean {
  if (lock.state === "absent") return false;
  if (lock.state === "held") return true;
  return isUnsigned(reading);
}

/** Whether something is written there that no owner has released. */
function isUnsigned(reading: RecordReading): boolean {
  return reading.kind !== "none" && !isSignedOff(reading);
}

/** The record in the file, unless it speaks of an earlier claim than the one that holds it now. */
function writtenRecord({ reading }: FoundKernelLock): OwnerRecord | null {
  return reading.kind === "record" && !isReleased(reading.record) ? reading.record : null;
}

/** Lock names cannot be taken apart again, so the folders say which lock is theirs. */
async function foldersByLock(layout: Layout, onUnreadable: OnUnreadable): Promise<Map<string, string>> {
  const folders = new Map<string, string>();
  for (const folder of await weightsFolders(layout, { onUnreadable, onLink: () => undefined }))
    folders.set(layout.kernelLockPathOfWeightsDir(folder), folder);
  return folders;
}

function openHolders(locks: readonly FoundKernelLock[]): Map<string, number[]> {
  const withStats = locks.filter((lock): lock is FoundKernelLock & { stats: BigIntStats } => lock.stats !== null);
  return flockHoldersOf(withStats.map(({ path, stats }) => ({ path, dev: stats.dev, ino: stats.ino })));
}

function placeOf(layout: Layout, path: string, record: OwnerRecord | null, folder: string | null): Place {
  if (folder !== null) return { name: layout.displayNameOfWeightsDir(folder), weightsDir: folder };
  const configuration = record === null ? null : configurationOf(record);
  const isExact = record?.trainlock?.configuration != null;
  const place = configuration === null ? null : placeOfRecorded(layout, configuration, isExact);
  // It is a lock all the same where none of the site's templates is for it.
  return place ?? { name: kernelLockStem(path), weightsDir: null };
}

function placeOfRecorded(layout: Layout, recorded: Configuration, isExact: boolean): PlaceHere | null {
  const place = placeHere(layout, recorded);
  if (place === null || isExact || existsSync(place.weightsDir)) return place;
  // The old writers record the dataset normalized; its folder, where there is one, shows how it is spelled.
  return placeHere(layout, { ...recorded, dataset: recorded.dataset.replaceAll("_", "-") });
}
