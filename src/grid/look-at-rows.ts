import { existsSync } from "node:fs";
import { readKernelLocks } from "../listing/kernel-lock-facts.ts";
import { judged } from "../listing/list-locks.ts";
import type { LockReport } from "../listing/lock-report.ts";
import { markerFacts } from "../listing/marker-facts.ts";
import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { messageOf, TrainlockError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import { belongsToAnother, configurationOf, type RecordReading } from "../model/owner-record.ts";
import { asksAnything, type DoneRule } from "../run/done-rule.ts";
import { type DoneFinding, lookForDone } from "../run/find-done.ts";
import { type Layout, markerName, markerPath, markerRecordName } from "../site/layout.ts";
import { type FollowedLink, followedLinks, sameFolderAs, sameFolderText } from "../site/shared-folder.ts";
import { earlierRuns, noEarlierRuns, type ReleasedRuns, runsBefore, storeBeforeFiles } from "../stores/earlier-runs.ts";
import { markerBehindLink } from "../stores/folder/behind-link.ts";
import { requireMarkerRecord } from "../stores/folder/read-marker.ts";
import { openRemoteLocks } from "../stores/open-remote-locks.ts";
import type { EarlierRuns } from "../stores/store.ts";
import { callsFor } from "../system/files/folder-calls.ts";
import { namesIn } from "../system/files/names-in.ts";
import { BoundsChecker } from "../system/files/within.ts";
import { errnoOf } from "../system/libc/errno.ts";
import { inLanes } from "../system/map-concurrent.ts";
import { collectGarbageOf } from "../system/processes/collect-garbage.ts";
import type { Row } from "./grid.ts";
import { noEnds, type RowEnds } from "./row-state.ts";

/** What one look at a row's folder and locks found. */
export interface RowLook {
  readonly weightsDir: string;
  /** Names in the weights dir; null: there is none. */
  readonly names: readonly string[] | null;
  readonly locks: readonly LockReport[];
  readonly ends: RowEnds;
  /** The file that shows it to be done; null: none does. */
  readonly doneBy: string | null;
  /** Why the row cannot be looked at; null: it can. */
  readonly problem: string | null;
}

/** What is in a row's folder; of the kernel locks and the store nobody has asked yet. */
interface FolderLook extends Omit<RowLook, "locks" | "ends"> {
  readonly marker: LockFacts | null;
  /** What the record beside the marker says of its runs; null: nobody has read it yet, if there is one. */
  readonly runs: EarlierRuns | null;
}

/**
 * Looks at the folder of each row once, and at the lock dir and the store once for all rows. All locks are judged together,
 * so each scheduler and each host is asked once. Changes nothing. A row that cannot be looked at says so in `problem` and
 * stops no other. The locks come last: a file that was there while nobody held the row was finished before.
 */
export async function lookAtRows(
  layout: Layout,
  rows: readonly Row[],
  examine: Examine,
  ruleOf: (row: Row) => DoneRule,
): Promise<RowLook[]> {
  const lanes = callsFor(layout.weightsTrees[0]?.top ?? layout.root).lanes;
  const links = await followedLinks(layout);
  const bounds = new BoundsChecker(layout);
  const folders: (FolderLook | RowLook | Promise<RowLook>)[] = await inLanes(rows, lanes, (row) =>
    lookIntoFolder(layout, row, ruleOf(row), { links, bounds }),
  );
  collectGarbageOf(rows.length);
  await addLocks(layout, rows, folders, examine);
  collectGarbageOf(rows.length);
  return settled(folders as (RowLook | Promise<RowLook>)[]);
}

/** In the place of what is there of the folders: of 100,000 rows two arrays would be too many. */
async function addLocks(
  layout: Layout,
  rows: readonly Row[],
  folders: (FolderLook | RowLook | Promise<RowLook>)[],
  examine: Examine,
): Promise<void> {
  const site = await locksOfSite(layout, rows);
  collectGarbageOf(rows.length);
  for (const [index, { configuration }] of rows.entries()) {
    folders[index] = withLocks(layout, configuration, folders[index] as FolderLook, site, examine);
  }
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
const noNames: readonly string[] = [];

function lookIntoFolder(
  layout: Layout,
  row: Row,
  rule: DoneRule,
  { links, bounds }: { readonly links: readonly FollowedLink[]; readonly bounds: BoundsChecker },
): FolderLook | Promise<FolderLook> {
  const { weightsDir } = row;
  const nothing = { weightsDir, names: null, marker: null, runs: null, doneBy: null, problem: null };
  const failed = (error: unknown): FolderLook => ({ ...nothing, problem: problemWith(weightsDir, error) });
  try {
    const names = namesIn(weightsDir);
    if (names === null)
      return layout.links.length === 0 ? nothing : { ...nothing, marker: unseenMarker(layout, row, weightsDir) };
    const other = sameFolderAs(layout, links, weightsDir);
    if (other !== null) return { ...nothing, names, problem: sameFolderText(weightsDir, other) };
    bounds.requireWithin(weightsDir);
    if (names.length === 0) return { ...nothing, names: noNames };
    const look = lookAmong(layout, row, rule, { ...nothing, names });
    return look instanceof Promise ? look.catch(failed) : look;
  } catch (error) {
    return failed(error);
  }
}

function unseenMarker(layout: Layout, { configuration }: Row, weightsDir: string): LockFacts | null {
  return markerBehindLink(layout, weightsDir, layout.displayName(configuration), layout.kernelLockPath(configuration));
}

const notDone: DoneFinding = { kind: "not done" };

function lookAmong(
  layout: Layout,
  { configuration }: Row,
  rule: DoneRule,
  folder: FolderLook & { readonly names: readonly string[] },
): FolderLook | Promise<FolderLook> {
  const { weightsDir, names } = folder;
  let record: RecordReading | null = null;
  const readRecord = () => {
    record ??= names.includes(markerRecordName) ? requireMarkerRecord(weightsDir) : { kind: "none" };
    return record;
  };
  const withMarker = (done: DoneFinding): FolderLook | Promise<FolderLook> => {
    const shown = {
      doneBy: done.kind === "done" ? done.path : null,
      problem: done.kind === "another's" ? done.error.message : null,
    };
    const runs = record === null ? null : earlierRuns([record], layout, configuration);
    const look = (marker: LockFacts | null): FolderLook => ({ weightsDir, names, runs, marker, ...shown });
    // A marker that has come while the files were looked at counts, too.
    const mayBeHeld = names.includes(markerName) || (done.kind !== "not done" && existsSync(markerPath(weightsDir)));
    return mayBeHeld
      ? markerFacts(layout, weightsDir, true, layout.kernelLockPath(configuration)).then(look)
      : look(folder.marker);
  };
  const done = asksAnything(rule)
    ? lookForDone(layout, configuration, rule, { weightsDir, names, record: readRecord })
    : notDone;
  return done instanceof Promise ? done.then(withMarker) : withMarker(done);
}

/** How the runs of a row ended, as the store says, else the record in its lock file, else that of its folder. */
function endsOf(
  layout: Layout,
  configuration: Configuration,
  look: FolderLook,
  {
    inLockFile,
    inStore,
  }: { readonly inLockFile: ReleasedRuns | undefined; readonly inStore: RecordReading | undefined },
): RowEnds {
  const isRecorded = look.names?.includes(markerRecordName) === true;
  if (!isRecorded && inStore === undefined) return noEnds;
  const files = isRecorded ? runsInFiles(layout, configuration, look, inLockFile) : noEarlierRuns;
  const stored = inStore === undefined ? noEarlierRuns : earlierRuns([inStore], layout, configuration);
  const { ends, generation } = storeBeforeFiles(stored, files);
  const { attempts, interruptions, lastExit, lastEnd, seconds } = ends;
  return { attempts, interruptions, lastExit, lastEnd, seconds, generation };
}

function runsInFiles(
  layout: Layout,
  configuration: Configuration,
  look: FolderLook,
  inLockFile: ReleasedRuns | undefined,
): EarlierRuns {
  // The folder's record is written first: this one is as new once its owner has released its lock.
  if (inLockFile !== undefined) return runsBefore(inLockFile, layout, configuration);
  return look.runs ?? earlierRuns([requireMarkerRecord(look.weightsDir)], layout, configuration);
}

interface SiteLocks {
  readonly byLockPath: ReadonlyMap<string, LockFacts>;
  /** How the runs of released locks ended, by their lock file. */
  readonly released: ReadonlyMap<string, ReleasedRuns>;
  /** Keys of the store, by the weights dir that their owner's configuration has here. */
  readonly byFolder: ReadonlyMap<string, readonly LockFacts[]>;
  /** The store's record of each row's last run, by its lock file; empty where there is no store. */
  readonly inStore: ReadonlyMap<string, RecordReading>;
  /** Lock files that could not be asked, with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
}

async function locksOfSite(layout: Layout, rows: readonly Row[]): Promise<SiteLocks> {
  const unreadable = new Map<string, string>();
  const { facts, released } = await readKernelLocks(layout, (path, why) => unreadable.set(path, why));
  const store = await openRemoteLocks(layout);
  const keys = (await store?.all()) ?? [];
  // After the keys: whoever has released one since has noted its end before.
  const ends = (await store?.records(rows.map(({ configuration }) => configuration))) ?? [];
  const inStore = new Map(
    ends.map((reading, index) => [layout.kernelLockPath((rows[index] as Row).configuration), reading]),
  );
  const byFolder = new Map<string, LockFacts[]>();
  for (const key of keys) {
    if (key.weightsDir === null) continue;
    byFolder.set(key.weightsDir, [...(byFolder.get(key.weightsDir) ?? []), key]);
  }
  return { byLockPath: new Map(facts.map((each) => [each.path, each])), released, byFolder, inStore, unreadable };
}

function withLocks(
  layout: Layout,
  configuration: Configuration,
  folder: FolderLook,
  { byLockPath, released, byFolder, inStore, unreadable }: SiteLocks,
  examine: Examine,
): RowLook | Promise<RowLook> {
  const { weightsDir, names, doneBy, marker } = folder;
  const lockPath = layout.kernelLockPath(configuration);
  const kernelLock = byLockPath.get(lockPath);
  const facts = [...(kernelLock === undefined ? [] : [kernelLock]), ...(byFolder.get(weightsDir) ?? [])];
  const why = unreadable.get(lockPath) ?? unreadable.get(layout.lockDir);
  let problem = why === undefined ? collisionOf(configuration, facts) : `cannot look at its kernel lock: ${why}`;
  let ends: RowEnds = noEnds;
  try {
    ends = endsOf(layout, configuration, folder, {
      inLockFile: released.get(lockPath),
      inStore: inStore.get(lockPath),
    });
  } catch (error) {
    problem ??= problemWith(weightsDir, error);
  }
  problem ??= folder.problem;
  const look = (locks: readonly LockReport[]): RowLook => ({ weightsDir, names, locks, ends, doneBy, problem });
  const all = marker === null ? facts : [...facts, marker];
  return all.length === 0 ? look(noLocks) : Promise.all(all.map((each) => judged(each, examine))).then(look);
}

/** What keeps a row from being looked at, in words. Throws what is a defect. */
function problemWith(weightsDir: string, error: unknown): string {
  if (!(error instanceof TrainlockError) && errnoOf(error) === undefined) throw error;
  return `cannot look into ${weightsDir}: ${errnoOf(error) ?? messageOf(error)}`;
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
