import { closeSync, constants, openSync, readdirSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { TrainlockError } from "../model/errors.ts";
import { markerName, markerRecordPath } from "../model/layout.ts";
import { asSystemError, errnoOf, systemError } from "../system/errno.ts";
import { randomHex } from "../system/random.ts";
import { makeSharedFolder, ownerOf, shareAsFolderAsks } from "../system/shared-permissions.ts";

const unfinishedSuffix = ".tmp";

/** A complete file in a weights dir, under a name that nobody looks at, to be linked or renamed to its own. */
export function createUnfinished(weightsDir: string, content: Buffer): { path: string; fd: number } {
  const path = join(weightsDir, `${markerName}.${randomHex(8)}${unfinishedSuffix}`);
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o664);
    shareAsFolderAsks(fd, path);
    if (writeSync(fd, content) < content.length) throw systemError("write", path, "ENOSPC");
    return { path, fd };
  } catch (error) {
    if (fd !== undefined) {
      closeSync(fd);
      discard(path);
    }
    throw markerError(weightsDir, error);
  }
}

/** What went wrong with the marker or its record, with the folder, its owner and mode. */
export function markerError(weightsDir: string, error: unknown): unknown {
  return asSystemError("place the marker in", weightsDir, error, ownerOf(weightsDir));
}

/** Removes what nobody needs. One that stays is swept by the next claim: no reason to fail this one. */
export function discard(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

/** Each loss takes a claim on another host that begins in the same instant. */
const mostLosses = 10;

/** Does again what failed because its file had vanished. */
export function unlessSwept<T>(work: () => T): T {
  for (let losses = 1; ; losses += 1) {
    try {
      return work();
    } catch (error) {
      if (losses === mostLosses || !(error instanceof TrainlockError) || error.code !== "ENOENT") throw error;
    }
  }
}

/** Writes the record beside the marker; readers see the old one or the new one. */
export function writeMarkerRecord(weightsDir: string, record: Buffer): void {
  unlessSwept(() => writeRecordOnce(weightsDir, record));
}

function writeRecordOnce(weightsDir: string, record: Buffer): void {
  const { path, fd } = createUnfinished(weightsDir, record);
  try {
    renameSync(path, markerRecordPath(weightsDir));
  } catch (error) {
    discard(path);
    throw markerError(weightsDir, error);
  } finally {
    closeSync(fd);
  }
}

/** Removes what a crashed claim left behind. Harmless to one under way elsewhere: that one sees it and begins again. */
export function sweepUnfinished(weightsDir: string): void {
  for (const name of readdirSync(weightsDir)) {
    if (name.startsWith(`${markerName}.`) && name.endsWith(unfinishedSuffix)) discard(join(weightsDir, name));
  }
}

/** Makes the weights dir and proves that it can be written. */
export function prepareWeightsDir(weightsDir: string): void {
  makeSharedFolder(weightsDir);
  try {
    sweepUnfinished(weightsDir);
  } catch (error) {
    throw markerError(weightsDir, error);
  }
}
