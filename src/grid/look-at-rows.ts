import { readdirSync } from "node:fs";
import { kernelLockFacts } from "../listing/kernel-lock-facts.ts";
import { judged } from "../listing/list-locks.ts";
import type { LockReport } from "../listing/lock-report.ts";
import { markerFacts } from "../listing/marker-facts.ts";
import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { messageOf, TrainlockError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import { belongsToAnother, configurationOf } from "../model/owner-record.ts";
import { type Layout, markerName, markerRecordName } from "../site/layout.ts";
import { earlierRuns } from "../stores/claim-record.ts";
import { readMarkerRecord } from "../stores/folder/read-marker.ts";
import { openRemoteLocks } from "../stores/open-store.ts";
import { callsFor } from "../system/files/folder-calls.ts";
import { requireWithin } from "../system/files/within.ts";
import { errnoOf, isErrno } from "../system/libc/errno.ts";
import { inLanes } from "../system/map-concurrent.ts";
import { noEnds, type RowEnds } from "./row-state.ts";

/** What one look at a row's folder and locks found. */
export interface RowLook {
  readonly weightsDir: string;
  /** Names in the weights dir; null: there is none. */
  readonly names: readonly string[] | null;
  readonly locks: readonly LockReport[];
  readonly ends: RowEnds;
  /** Why the row cannot be looked at; null: it can. */
  readonly problem: string | null;
}

interface Found {
  readonly weightsDir: string;
  readonly names: readonly string[] | null;
  readonly facts: readonly LockFacts[];
  readonly ends: RowEnds;
  readonly problem: string | null;
}

/**
 * Looks at each configuration once: one look at its folder, the lock dir and the store once for all, and all locks judged
 * together, so that a scheduler is asked once and a host once. Changes nothing. A row that cannot be looked at says so in
 * `problem` and stops no other.
 */
export async function lookAtRows(
  layout: Layout,
  configurations: readonly Configuration[],
  examine: Examine,
): Promise<RowLook[]> {
  const site = await locksOfSite(layout);
  const lanes = callsFor(layout.weightsTrees[0]?.top ?? layout.root).lanes;
  const found = await inLanes(configurations, lanes, (configuration) => lookAt(layout, configuration, site));
  return Promise.all(
    found.map(async ({ facts, ...look }) => ({
      ...look,
      locks: facts.length === 0 ? noLocks : await Promise.all(facts.map((each) => judged(each, examine))),
    })),
  );
}

const noLocks: readonly LockReport[] = [];

interface SiteLocks {
  readonly byLockPath: ReadonlyMap<string, LockFacts>;
  /** Keys of the store, by the weights dir that their owner's configuration has here. */
  readonly byFolder: ReadonlyMap<string, readonly LockFacts[]>;
  /** Lock files that could not be asked, with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
}

async function locksOfSite(layout: Layout): Promise<SiteLocks> {
  const unreadable = new Map<string, string>();
  const kernelLocks = await kernelLockFacts(layout, (path, why) => unreadable.set(path, why));
  const keys = (await (await openRemoteLocks(layout))?.all()) ?? [];
  const byFolder = new Map<string, LockFacts[]>();
  for (const key of keys) {
    if (key.weightsDir === null) continue;
    byFolder.set(key.weightsDir, [...(byFolder.get(key.weightsDir) ?? []), key]);
  }
  return { byLockPath: new Map(kernelLocks.map((facts) => [facts.path, facts])), byFolder, unreadable };
}

async function lookAt(layout: Layout, configuration: Configuration, site: SiteLocks): Promise<Found> {
  const weightsDir = layout.weightsDir(configuration);
  const lockPath = layout.kernelLockPath(configuration);
  const kernelLock = site.byLockPath.get(lockPath);
  const facts = [...(kernelLock === undefined ? [] : [kernelLock]), ...(site.byFolder.get(weightsDir) ?? [])];
  const unreadable = site.unreadable.get(lockPath) ?? site.unreadable.get(layout.lockDir) ?? null;
  const problem =
    unreadable === null ? collisionOf(configuration, facts) : `cannot look at its kernel lock: ${unreadable}`;
  try {
    const names = namesIn(weightsDir);
    if (names === null) return { weightsDir, names, facts, ends: noEnds, problem };
    requireWithin(layout.root, weightsDir);
    const ends = names.includes(markerRecordName) ? endsIn(layout, configuration, weightsDir) : noEnds;
    const marker = names.includes(markerName) ? await markerFacts(layout, weightsDir, true, lockPath) : null;
    return { weightsDir, names, facts: marker === null ? facts : [...facts, marker], ends, problem };
  } catch (error) {
    if (!(error instanceof TrainlockError) && errnoOf(error) === undefined) throw error;
    return {
      weightsDir,
      names: null,
      facts,
      ends: noEnds,
      problem: `cannot look into ${weightsDir}: ${errnoOf(error) ?? messageOf(error)}`,
    };
  }
}

/** How the runs of a row ended, as the record of its folder says. */
function endsIn(layout: Layout, configuration: Configuration, weightsDir: string): RowEnds {
  const { attempts, interruptions, lastExit } = earlierRuns(
    [readMarkerRecord(weightsDir).reading],
    layout,
    configuration,
  ).ends;
  return { attempts, interruptions, lastExit };
}

/** Another configuration under this one's lock name: which of them the lock is for, nobody knows. */
function collisionOf(configuration: Configuration, facts: readonly LockFacts[]): string | null {
  for (const { kind, record, path } of facts) {
    if (record === null || kind === "file" || !belongsToAnother(record, configuration)) continue;
    const owner = configurationOf(record);
    if (owner === null) continue;
    return `${path} is the lock of ${describeConfiguration(owner)}`;
  }
  return null;
}

/** Null where there is no such folder. */
function namesIn(folder: string): string[] | null {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
}
