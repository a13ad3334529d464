import { markerFacts } from "../listing/marker-facts.ts";
import { messageOf, TrainlockError } from "../model/errors.ts";
import { lazily } from "../model/lazily.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import type { RecordReading } from "../model/owner-record.ts";
import { checkpointProgress } from "../progress/checkpoints.ts";
import type { Progress } from "../progress/progress.ts";
import { asksAnything, type DoneRule } from "../run/done-rule.ts";
import { type DoneFinding, lookForDone } from "../run/find-done.ts";
import { likelyMatches } from "../run/matching-files.ts";
import { type Layout, markerName, markerPath, markerRecordName, runLogsFolder } from "../site/layout.ts";
import { type FollowedLink, sameFolderAs, sameFolderText } from "../site/shared-folder.ts";
import { markerBehindLink } from "../stores/folder/behind-link.ts";
import { requireMarkerRecord, requireMarkerRecordSoon } from "../stores/folder/read-marker.ts";
import type { FolderCalls, Now } from "../system/files/folder-calls.ts";
import { inTheWayOf } from "../system/files/nearest-existing.ts";
import type { BoundsChecker } from "../system/files/within.ts";
import { errnoOf } from "../system/libc/errno.ts";
import type { Row } from "./grid.ts";

/** What one look into a row's folder found. Of the names there only what is shown is kept: a plan has 100,000 folders. */
export interface FolderLook {
  readonly hasLogs: boolean;
  /** How far its checkpoints are. */
  readonly checkpoint: Progress | null;
  /** The record beside the marker; null: there is none. */
  readonly record: (() => RecordReading) | null;
  readonly marker: LockFacts | null;
  /** The file that shows it to be done; null: none does. */
  readonly doneBy: string | null;
  /** Why the row cannot be looked at; null: it can. */
  readonly problem: string | null;
}

/** What is the same for all rows of one look. */
export interface FolderBounds {
  readonly links: readonly FollowedLink[];
  readonly bounds: BoundsChecker;
  readonly calls: FolderCalls;
}

const empty: FolderLook = {
  hasLogs: false,
  checkpoint: null,
  record: null,
  marker: null,
  doneBy: null,
  problem: null,
};

/** Looks into the folder of a row once. Over a network a promise: many are looked into at once. */
export function lookIntoFolder(layout: Layout, row: Row, rule: DoneRule, place: FolderBounds): Now<FolderLook> {
  const { weightsDir } = row;
  const failed = (error: unknown): FolderLook => ({ ...empty, problem: problemWith(weightsDir, error) });
  try {
    const names = place.calls.names(weightsDir);
    const look =
      names instanceof Promise
        ? names.then((there) => lookAt(layout, row, rule, there, place))
        : lookAt(layout, row, rule, names, place);
    return look instanceof Promise ? look.catch(failed) : look;
  } catch (error) {
    return failed(error);
  }
}

function lookAt(
  layout: Layout,
  row: Row,
  rule: DoneRule,
  names: readonly string[] | null,
  { links, bounds, calls }: FolderBounds,
): Now<FolderLook> {
  const { weightsDir } = row;
  if (names === null) return lookWhereNothingIs(layout, row);
  const other = sameFolderAs(layout, links, weightsDir);
  if (other !== null) return { ...empty, problem: sameFolderText(weightsDir, other) };
  bounds.requireWithin(weightsDir);
  if (names.length === 0) return empty;
  const isRecorded = names.includes(markerRecordName);
  const look = (record: (() => RecordReading) | null) => lookAmong(layout, row, rule, names, record, calls);
  if (calls.lanes > 1)
    return lookedUp(row, rule, names, calls)
      .then(() => (isRecorded ? recordSoon(weightsDir) : null))
      .then(look);
  return look(isRecorded ? lazily(() => requireMarkerRecord(weightsDir)) : null);
}

/** Asks the file server for what will be looked at, while it answers others, too: this host knows it for a second then. */
async function lookedUp(
  { weightsDir }: Row,
  { file, patterns }: DoneRule,
  names: readonly string[],
  calls: FolderCalls,
) {
  const likely = likelyMatches(names, file === null ? patterns : [file, ...patterns]);
  await Promise.allSettled(likely.slice(0, mostLookedUp).map((name) => calls.isThere(`${weightsDir}/${name}`)));
}

const mostLookedUp = 16;

/** One that cannot be read is a fault where somebody needs it, and only there. */
function recordSoon(weightsDir: string): Promise<() => RecordReading> {
  return requireMarkerRecordSoon(weightsDir).then(
    (reading) => () => reading,
    (error: unknown) => () => {
      throw error;
    },
  );
}

/** What keeps a row from being looked at, in words. Throws what is a defect. */
export function problemWith(weightsDir: string, error: unknown): string {
  if (!(error instanceof TrainlockError) && errnoOf(error) === undefined) throw error;
  if (error instanceof TrainlockError) return messageOf(error);
  return `cannot look into ${weightsDir}: ${errnoOf(error)}`;
}

/** A link that leads nowhere on this host may lead to a training on another. */
function lookWhereNothingIs(layout: Layout, row: Row): FolderLook {
  if (layout.links.length > 0) return { ...empty, marker: unseenMarker(layout, row) };
  const inTheWay = inTheWayOf(row.weightsDir);
  return inTheWay === null
    ? empty
    : { ...empty, problem: `cannot look behind ${inTheWay.path}: it leads nowhere on this host` };
}

function unseenMarker(layout: Layout, { configuration, weightsDir }: Row): LockFacts | null {
  return markerBehindLink(layout, weightsDir, layout.displayName(configuration), layout.kernelLockPath(configuration));
}

const notDone: DoneFinding = { kind: "not done" };

function lookAmong(
  layout: Layout,
  { configuration, weightsDir }: Row,
  rule: DoneRule,
  names: readonly string[],
  record: (() => RecordReading) | null,
  calls: FolderCalls,
): Now<FolderLook> {
  const withMarker = (done: DoneFinding, isMarked: boolean): Now<FolderLook> => {
    const look = (marker: LockFacts | null): FolderLook => ({
      hasLogs: names.includes(runLogsFolder),
      checkpoint: checkpointProgress(names, rule.patterns),
      record,
      marker,
      doneBy: done.kind === "done" ? done.path : null,
      problem: done.kind === "another's" ? done.error.message : null,
    });
    return isMarked
      ? markerFacts(layout, weightsDir, true, layout.kernelLockPath(configuration)).then(look)
      : look(null);
  };
  const thenMarker = (done: DoneFinding): Now<FolderLook> => {
    if (names.includes(markerName) || done.kind === "not done") return withMarker(done, names.includes(markerName));
    // A marker that has come while the files were looked at counts, too.
    const isMarked = calls.isThere(markerPath(weightsDir));
    return isMarked instanceof Promise ? isMarked.then((is) => withMarker(done, is)) : withMarker(done, isMarked);
  };
  const done = asksAnything(rule)
    ? lookForDone(layout, configuration, rule, { weightsDir, names, record: record ?? (() => ({ kind: "none" })) })
    : notDone;
  return done instanceof Promise ? done.then(thenMarker) : thenMarker(done);
}
