import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { markerName, markerPath, markerRecordPath } from "../model/layout.ts";
import type { MarkerFacts } from "../model/lock-facts.ts";
import { asSystemError, errnoOf, isErrno, systemError } from "../system/errno.ts";
import { exchangePaths } from "../system/exchange.ts";
import { randomHex } from "../system/random.ts";
import { leadsTo, sameFile } from "../system/same-file.ts";
import { makeSharedFolder, ownerOf, shareAsFolderAsks } from "../system/shared-permissions.ts";

const unfinishedSuffix = ".tmp";

/**
 * A marker that this process placed, known by its inode. It is kept open: a file system gives the inode number of a removed
 * file to the very next one, but not while somebody has it open.
 */
export interface PlacedMarker {
  readonly path: string;
  readonly inode: bigint;
  /** Whether the path still leads to it. `gone`: nothing is there. */
  where(): "in place" | "gone" | "replaced";
  /** Removes it, if it still is the one that was placed, and closes it either way. */
  remove(): void;
}

/** Is told the inode before the marker can be seen, so that no crash leaves a marker that no record describes. */
type Announce = (inode: bigint) => void;

/** Places the marker where none is. `occupied` when somebody else's stands there. */
export function placeMarker(weightsDir: string, pid: number, announce: Announce): PlacedMarker | "occupied" {
  return withUnfinishedMarker(weightsDir, pid, (unfinished, own) => {
    const path = markerPath(weightsDir);
    announce(own.ino);
    try {
      linkSync(unfinished, path);
    } catch (error) {
      // Over NFS a link may succeed and its answer be lost: what the file system shows counts, not the return code.
      if (leadsTo(path, own)) return "placed";
      if (isErrno(error, "EEXIST")) return "occupied";
      if (isErrno(error, "EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK")) return placeWithoutLinks(path, pid, announce);
      throw error;
    }
    try {
      return leadsTo(path, own) ? "placed" : "occupied";
    } catch (error) {
      discard(path);
      throw error;
    }
  });
}

/** For file systems without hard links. For an instant the marker is empty, as the shell's own is. */
function placeWithoutLinks(path: string, pid: number, announce: Announce): PlacedMarker | "occupied" {
  let fd: number;
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o664);
  } catch (error) {
    if (isErrno(error, "EEXIST")) return "occupied";
    throw asSystemError("create the marker", path, error);
  }
  try {
    const own = fstatSync(fd, { bigint: true });
    announce(own.ino);
    if (writeSync(fd, `${pid}\n`) === 0) throw systemError("write", path, "ENOSPC");
    shareAsFolderAsks(fd, path);
    return placedMarker(path, fd, own);
  } catch (error) {
    discard(path);
    closeSync(fd);
    throw asSystemError("write the marker", path, error);
  }
}

/**
 * Puts our marker over a dead one without the path ever being free. `changed` when it is no longer the marker that was
 * judged; then nothing has changed hands.
 */
export function replaceMarker(
  weightsDir: string,
  dead: MarkerFacts,
  pid: number,
  announce: Announce,
): PlacedMarker | "changed" {
  return withUnfinishedMarker(weightsDir, pid, (unfinished, own) => {
    const path = markerPath(weightsDir);
    if (!isMarker(path, dead)) return "changed";
    announce(own.ino);
    const exchanged = exchangePaths(unfinished, path);
    if (exchanged === "exchanged") {
      let taken = false;
      try {
        taken = isMarker(unfinished, dead);
      } finally {
        if (!taken) giveBack(unfinished, path);
      }
      return taken ? "placed" : "changed";
    }
    if (exchanged === "unsupported") {
      if (!isMarker(path, dead)) return "changed";
      renameSync(unfinished, path);
      return "placed";
    }
    if (exchanged.errno === "ENOENT") return "changed";
    throw systemError("replace the marker", path, exchanged.errno);
  });
}

/**
 * Somebody replaced the dead marker between the last look and the exchange: the living one goes back to its place. Where
 * ours is gone from there, its owner has removed what it took for its own: it is done, and nothing is to be given back.
 */
function giveBack(living: string, path: string): void {
  const again = exchangePaths(living, path);
  if (again !== "exchanged" && (again === "unsupported" || again.errno !== "ENOENT")) renameSync(living, path);
}

/** Removes a marker that was judged, if it still is the one. */
export function removeMarker(weightsDir: string, judged: MarkerFacts): "removed" | "changed" {
  const path = markerPath(weightsDir);
  if (!isMarker(path, judged)) return "changed";
  try {
    unlinkSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "changed";
    throw asSystemError("remove", path, error, `${ownerOf(path)}; ${ownerOf(weightsDir)}`);
  }
  return "removed";
}

/** Writes the record beside the marker; readers see the old one or the new one. */
export function writeMarkerRecord(weightsDir: string, record: Buffer): void {
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

/** Makes a complete marker under a name of its own. `placed` by `use` means that it has got the real one. */
function withUnfinishedMarker<T extends "occupied" | "changed">(
  weightsDir: string,
  pid: number,
  use: (path: string, own: BigIntStats) => "placed" | PlacedMarker | T,
): PlacedMarker | T {
  const { path, fd } = createUnfinished(weightsDir, Buffer.from(`${pid}\n`));
  let keepOpen = false;
  try {
    const own = fstatSync(fd, { bigint: true });
    const result = use(path, own);
    if (result !== "placed") return result;
    keepOpen = true;
    return placedMarker(markerPath(weightsDir), fd, own);
  } catch (error) {
    throw markerError(weightsDir, error);
  } finally {
    discard(path);
    if (!keepOpen) closeSync(fd);
  }
}

function createUnfinished(weightsDir: string, content: Buffer): { path: string; fd: number } {
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

function markerError(weightsDir: string, error: unknown): unknown {
  return asSystemError("place the marker in", weightsDir, error, ownerOf(weightsDir));
}

/** Removes what nobody needs. One that stays is swept by the next claim: no reason to fail this one. */
function discard(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

function isMarker(path: string, judged: MarkerFacts): boolean {
  const there: BigIntStats | undefined = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return (
    there !== undefined &&
    there.ino === judged.inode &&
    there.dev === judged.device &&
    there.mtimeNs === judged.modifiedNs
  );
}

/** Makes no system call that could fail: the marker is there already. */
function placedMarker(path: string, fd: number, own: BigIntStats): PlacedMarker {
  const where = () => {
    const there = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (there === undefined) return "gone";
    return sameFile(own, there) ? "in place" : "replaced";
  };
  return {
    path,
    inode: own.ino,
    where,
    remove: () => {
      try {
        if (where() === "in place") discard(path);
      } finally {
        closeSync(fd);
      }
    },
  };
}
