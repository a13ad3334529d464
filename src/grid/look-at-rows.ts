import { KernelLockFinder } from "../listing/kernel-lock-facts.ts";
import { judged } from "../listing/list-locks.ts";
import type { LockReport } from "../listing/lock-report.ts";
import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import type { Examine } from "../model/examine.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import { belongsToAnother, configurationOf, type OwnerRecord, type RecordReading } from "../model/owner-record.ts";
import type { Progress } from "../progress/progress.ts";
import type { DoneRule } from "../run/done-rule.ts";
import type { Layout } from "../site/layout.ts";
import { followedLinks } from "../site/shared-folder.ts";
import { earlierRuns, storeBeforeFiles } from "../stores/earlier-runs.ts";
import { openRemoteLocks } from "../stores/open-remote-locks.ts";
import type { EarlierRuns } from "../stores/store.ts";
import { callsFor, type Now } from "../system/files/folder-calls.ts";
import { BoundsChecker } from "../system/files/within.ts";
import { inLanes } from "../system/map-concurrent.ts";
import { collectGarbageOf } from "../system/processes/collect-garbage.ts";
import type { Row } from "./grid.ts";
import { type FolderLook, lookIntoFolder, problemWith } from "./row-folder.ts";
import { noEnds, type RowEnds } from "./row-state.ts";

/** What one look at a row's folder and locks found. */
export interface RowLook {
  readonly hasLogs: boolean;
  /** How far its checkpoints are; null: it has none of a known kind. */
  readonly checkpoint: Progress | null;
  readonly locks: readonly LockReport[];
  readonly ends: RowEnds;
  /** The file that shows it to be done; null: none does. */
  readonly doneBy: string | null;
  /** Why the row cannot be looked at; null: it can. */
  readonly problem: string | null;
}

/** The same before the locks of all rows are judged. */
interface FilesLook extends RowLook {
  readonly marker: LockFacts | null;
}

/**
 * Looks at the folder and the lock file of each row once, and at the store once for all rows. All locks are judged together,
 * so each scheduler and each host is asked once. Changes nothing. A row that cannot be looked at says so in `problem` and
 * stops no other. A row's lock comes after its folder: a file that was there while nobody held the row was finished before.
 */
export async function lookAtRows(
  layout: Layout,
  rows: readonly Row[],
  examine: Examine,
  ruleOf: (row: Row) => DoneRule,
): Promise<RowLook[]> {
  const calls = callsFor(layout.weightsTrees[0]?.top ?? layout.root);
  const place = { links: await followedLinks(layout), bounds: new BoundsChecker(layout), calls };
  const locks = new KernelLockFinder(layout);
  // In the place of what is there of the files: of 100,000 rows two arrays would be too many.
  const looks: (FilesLook | RowLook | Promise<RowLook>)[] = await inLanes(rows, calls.lanes, (row) => {
    const folder = lookIntoFolder(layout, row, ruleOf(row), place);
    const withLockFile = (found: FolderLook) => lookAtLockFile(layout, row, found, locks);
    return folder instanceof Promise ? folder.then(withLockFile) : withLockFile(folder);
  });
  collectGarbageOf(rows.length);
  const site = await locksOfSite(layout, rows, locks);
  for (const [index, row] of rows.entries())
    looks[index] = withLocks(layout, row, looks[index] as FilesLook, site, site.inStore[index], examine);
  collectGarbageOf(rows.length);
  return settled(looks as (RowLook | Promise<RowLook>)[]);
}

/** In its own place: most looks are there already, and a promise for each of 100,000 would take longer than they did. */
async function settled(looks: (RowLook | Promise<RowLook>)[]): Promise<RowLook[]> {
  const open: number[] = [];
  looks.forEach((look, index) => {
    if (look instanceof Promise) open.push(index);
  });
  const found = await Promise.all(open.map((index) => looks[index]));
  open.forEach((index, nth) => {
    looks[index] = found[nth] as RowLook;
  });
  return looks as RowLook[];
}

const noLocks: readonly LockReport[] = [];

/** Adds how the runs of a row ended, as the record in its lock file says, else that in its folder. */
function lookAtLockFile(
  layout: Layout,
  { configuration, weightsDir }: Row,
  { record, ...found }: FolderLook,
  locks: KernelLockFinder,
): Now<FilesLook> {
  const withEnds = (released: OwnerRecord | null): FilesLook => {
    if (record === null) return { ...found, locks: noLocks, ends: noEnds };
    try {
      // The folder's record is written first: this one is as new once its owner has released its lock.
      const last: RecordReading = released?.trainlock?.ends ? { kind: "record", record: released } : record();
      return { ...found, locks: noLocks, ends: endsOf(earlierRuns([last], layout, configuration)) };
    } catch (error) {
      return { ...found, locks: noLocks, ends: noEnds, problem: found.problem ?? problemWith(weightsDir, error) };
    }
  };
  const released = locks.look(layout.kernelLockPath(configuration));
  return released instanceof Promise ? released.then(withEnds) : withEnds(released);
}

function endsOf({ ends, generation }: EarlierRuns): RowEnds {
  const { attempts, interruptions, lastExit, lastEnd, seconds } = ends;
  return { attempts, interruptions, lastExit, lastEnd, seconds, generation };
}

interface SiteLocks {
  readonly byLockPath: ReadonlyMap<string, LockFacts>;
  /** The key of a configuration, whatever stands in it. */
  readonly keyOf: (configuration: Configuration) => LockFacts | undefined;
  /** The store's record of each row's last run, in the order of the rows; empty where there is no store. */
  readonly inStore: readonly RecordReading[];
  /** Lock files that could not be asked, with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
}

async function locksOfSite(layout: Layout, rows: readonly Row[], locks: KernelLockFinder): Promise<SiteLocks> {
  const unreadable = new Map<string, string>();
  const foldersOf = async () =>
    new Map(rows.map(({ configuration, weightsDir }) => [layout.kernelLockPath(configuration), weightsDir]));
  const facts = await locks.facts((path, why) => unreadable.set(path, why), foldersOf);
  const store = await openRemoteLocks(layout);
  const keys = (await store?.all()) ?? [];
  // After the keys: whoever has released one since has noted its end before.
  const inStore = (await store?.records(rows.map(({ configuration }) => configuration))) ?? [];
  const byKey = new Map(keys.map((key) => [key.path, key]));
  const keyOf = (configuration: Configuration) => (store === null ? undefined : byKey.get(store.pathOf(configuration)));
  return { byLockPath: new Map(facts.map((each) => [each.path, each])), keyOf, inStore, unreadable };
}

function withLocks(
  layout: Layout,
  { configuration }: Row,
  files: FilesLook,
  { byLockPath, keyOf, unreadable }: SiteLocks,
  inStore: RecordReading | undefined,
  examine: Examine,
): RowLook | Promise<RowLook> {
  const isAlone = byLockPath.size === 0 && unreadable.size === 0;
  const lockPath = isAlone ? "" : layout.kernelLockPath(configuration);
  const kernelLock = byLockPath.get(lockPath);
  const facts = [kernelLock, keyOf(configuration)].filter((each) => each !== undefined);
  const why = unreadable.get(lockPath) ?? unreadable.get(layout.lockDir);
  const problem = why === undefined ? collisionOf(configuration, facts) : `cannot look at its kernel lock: ${why}`;
  const look: RowLook =
    inStore === undefined && problem === null
      ? files
      : {
          ...files,
          ends: inStore === undefined ? files.ends : endsInStore(earlierRuns([inStore], layout, configuration), files),
          problem: problem ?? files.problem,
        };
  const all = files.marker === null ? facts : [...facts, files.marker];
  if (all.length === 0) return look;
  return Promise.all(all.map((each) => judged(each, examine))).then((locks) => ({ ...look, locks }));
}

function endsInStore(remote: EarlierRuns, files: FilesLook): RowEnds {
  const before = storeBeforeFiles(remote, null);
  return before === null ? files.ends : endsOf(before);
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
