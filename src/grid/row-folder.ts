import { existsSync } from "node:fs";
import { markerFacts } from "../listing/marker-facts.ts";
import { messageOf, TrainlockError } from "../model/errors.ts";
import { lazily } from "../model/lazily.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import type { RecordReading } from "../model/owner-record.ts";
import { checkpointProgress } from "../progress/checkpoints.ts";
import type { Progress } from "../progress/progress.ts";
import { asksAnything, type DoneRule } from "../run/done-rule.ts";
import { type DoneFinding, lookForDone } from "../run/find-done.ts";
import { type Layout, markerName, markerPath, markerRecordName, runLogsFolder } from "../site/layout.ts";
import { type FollowedLink, sameFolderAs, sameFolderText } from "../site/shared-folder.ts";
import { markerBehindLink } from "../stores/folder/behind-link.ts";
import { requireMarkerRecord } from "../stores/folder/read-marker.ts";
import { namesIn } from "../system/files/names-in.ts";
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
}

const empty: FolderLook = {
  hasLogs: false,
  checkpoint: null,
  record: null,
  marker: null,
  doneBy: null,
  problem: null,
};

/** Looks into the folder of a row once; at once unless a marker is there, or a pattern has to walk through folders. */
export function lookIntoFolder(
  layout: Layout,
  row: Row,
  rule: DoneRule,
  { links, bounds }: FolderBounds,
): FolderLook | Promise<FolderLook> {
  const { weightsDir } = row;
  const failed = (error: unknown): FolderLook => ({ ...empty, problem: problemWith(weightsDir, error) });
  try {
    const names = namesIn(weightsDir);
    if (names === null) return layout.links.length === 0 ? empty : { ...empty, marker: unseenMarker(layout, row) };
    const other = sameFolderAs(layout, links, weightsDir);
    if (other !== null) return { ...empty, problem: sameFolderText(weightsDir, other) };
    bounds.requireWithin(weightsDir);
    if (names.length === 0) return empty;
    const look = lookAmong(layout, row, rule, names);
    return look instanceof Promise ? look.catch(failed) : look;
  } catch (error) {
    return failed(error);
  }
}

/** What keeps a row from being looked at, in words. Throws what is a defect. */
export function problemWith(weightsDir: string, error: unknown): string {
  if (!(error instanceof TrainlockError) && errnoOf(error) === undefined) throw error;
  if (error instanceof TrainlockError) return messageOf(error);
  return `cannot look into ${weightsDir}: ${errnoOf(error)}`;
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
): FolderLook | Promise<FolderLook> {
  const record = names.includes(markerRecordName) ? lazily(() => requireMarkerRecord(weightsDir)) : null;
  const withMarker = (done: DoneFinding): FolderLook | Promise<FolderLook> => {
    const look = (marker: LockFacts | null): FolderLook => ({
      hasLogs: names.includes(runLogsFolder),
      checkpoint: checkpointProgress(names, rule.patterns),
      record,
      marker,
      doneBy: done.kind === "done" ? done.path : null,
      problem: done.kind === "another's" ? done.error.message : null,
    });
    // A marker that has come while the files were looked at counts, too.
    const mayBeHeld = names.includes(markerName) || (done.kind !== "not done" && existsSync(markerPath(weightsDir)));
    return mayBeHeld
      ? markerFacts(layout, weightsDir, true, layout.kernelLockPath(configuration)).then(look)
      : look(null);
  };
  const done = asksAnything(rule)
    ? lookForDone(layout, configuration, rule, { weightsDir, names, record: record ?? (() => ({ kind: "none" })) })
    : notDone;
  return done instanceof Promise ? done.then(withMarker) : withMarker(done);
}
