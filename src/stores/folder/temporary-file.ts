import { closeSync, constants, fstatSync, lstatSync, readdirSync, renameSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { TrainlockError } from "../../model/errors.ts";
import { markerName, markerRecordPath } from "../../site/layout.ts";
import { makeBeneath, type OpenedFolder } from "../../system/files/open-beneath.ts";
import type { Bounds } from "../../system/files/outside-root.ts";
import { createShared, ownerOf } from "../../system/files/shared-permissions.ts";
import { writeAll } from "../../system/files/write-all.ts";
import { abandonedAfterMs } from "../../system/files/write-by-rename.ts";
import { asSystemError, errnoOf, isErrno } from "../../system/libc/errno.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { randomHex } from "../../system/random.ts";

const temporarySuffix = ".tmp";
/** A complete file in a weights dir, under a name that nobody looks at, to be linked or renamed to its own. */
export function createTemporary(weightsDir: string, content: Buffer): { path: string; fd: number } {
  const path = temporaryPath(weightsDir);
  let fd: number | undefined;
  try {
    fd = createShared(path, constants.O_WRONLY | constants.O_EXCL | constants.O_NOFOLLOW);
    writeAll(fd, content);
    return { path, fd };
  } catch (error) {
    if (fd !== undefined) {
      closeSync(fd);
      discard(path);
    }
    throw markerError(weightsDir, error);
  }
}

/** A name that nobody looks at, and that is swept should we die. */
export function temporaryPath(weightsDir: string): string {
  return join(weightsDir, `${temporaryPrefix()}${randomHex(8)}${temporarySuffix}`);
}

/** Names this kernel by its boot id: which claims the kernel lock has shown to be over is known of these alone. */
function temporaryPrefix(): string {
  return `${markerName}.${(thisHost().bootId ?? "00000000").slice(0, 8)}`;
}

/** What went wrong with the marker or its record, with the folder, its owner and mode. */
export function markerError(weightsDir: string, error: unknown): unknown {
  return asSystemError("place the marker in", weightsDir, error, ownerOf(weightsDir));
}

/** Removes what nobody needs. One that stays (false) is swept by the next claim: no reason to fail this one. */
export function discard(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return isErrno(error, "ENOENT");
  }
}

/** A file is lost only to a claim of another stage with the same weights dir that begins in the same instant. */
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
  const { path, fd } = createTemporary(weightsDir, record);
  try {
    renameSync(path, markerRecordPath(weightsDir));
  } catch (error) {
    discard(path);
    throw markerError(weightsDir, error);
  } finally {
    closeSync(fd);
  }
}

/**
 * Removes what crashed claims left behind: those of this kernel, where a lock that is ours now shows that they are over, at
 * once; those of others, which may be under way there, when they are old by the file server's clock.
 */
export function sweepTemporaryFiles(weightsDir: string, ownAreOver: boolean): void {
  const isTemporary = (name: string) => name.startsWith(`${markerName}.`) && name.endsWith(temporarySuffix);
  const isOver = (name: string) => ownAreOver && name.startsWith(temporaryPrefix());
  const found = readdirSync(weightsDir).filter(isTemporary);
  for (const name of found.filter(isOver)) discard(join(weightsDir, name));
  const others = found.filter((name) => !isOver(name)).map((name) => join(weightsDir, name));
  if (others.length > 0) discardAbandoned(weightsDir, others);
}

function discardAbandoned(weightsDir: string, paths: readonly string[]): void {
  let nowMs: number;
  try {
    nowMs = Number(timeByNewFile(weightsDir) / 1_000_000n);
  } catch (error) {
    // Who claims finds out when it places its marker.
    if (error instanceof TrainlockError) return;
    throw error;
  }
  for (const path of paths) {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats !== undefined && nowMs - stats.ctimeMs > abandonedAfterMs) discard(path);
  }
}

/** The file server's time, by a file that is made now, in nanoseconds since the epoch. */
export function timeByNewFile(weightsDir: string): bigint {
  const { path, fd } = createTemporary(weightsDir, Buffer.alloc(0));
  try {
    return fstatSync(fd, { bigint: true }).ctimeNs;
  } finally {
    closeSync(fd);
    discard(path);
  }
}

/**
 * Makes the weights dir, proves that it can be written, and holds it open. `excludes`: a kernel lock keeps other claims of this
 * kernel away.
 */
export function prepareWeightsDir(bounds: Bounds, weightsDir: string, excludes: boolean): OpenedFolder {
  const opened = makeBeneath(bounds, weightsDir);
  try {
    sweepTemporaryFiles(opened.path, excludes);
    return opened;
  } catch (error) {
    opened.close();
    throw markerError(weightsDir, error);
  }
}
