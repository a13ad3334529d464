import { type BigIntStats, closeSync, constants, fstatSync, linkSync, lstatSync } from "node:fs";
import { dirname } from "node:path";
import type { MarkerFacts } from "../../model/lock-facts.ts";
import { markerPath } from "../../site/layout.ts";
import { mountOf } from "../../system/files/mounts.ts";
import { leadsTo, sameFile } from "../../system/files/same-file.ts";
import { createShared } from "../../system/files/shared-permissions.ts";
import { writeAll } from "../../system/files/write-all.ts";
import { asSystemError, errnoOf, isErrno } from "../../system/libc/errno.ts";
import { createTemporary, discard, markerError, temporaryPath, unlessSwept } from "./temporary-file.ts";

/**
 * A marker that this process placed, known by its inode. It is kept open: a file system gives the inode number of a removed
 * file to the very next one, but not while somebody has it open.
 */
export interface PlacedMarker {
  readonly path: string;
  readonly inode: bigint;
  /** As it was placed. */
  readonly file: MarkerFile;
  /** When it was last written, or touched by anybody. */
  modifiedNs(): bigint;
  /** Whether the path still leads to it. `gone`: nothing is there. */
  where(): "in place" | "gone" | "replaced";
  /** Whether a marker that was read is this one. */
  is(there: Pick<MarkerFacts, "inode" | "device">): boolean;
  /** The same file, once it has been given another name. This object is not to be used any more then. */
  knownAs(path: string): PlacedMarker;
  /** Closes it, and leaves it where it is. */
  close(): void;
  /** Removes it, if it still is the one that was placed, and closes it either way. False: it stays. */
  remove(): boolean;
}

export type MarkerFile = Pick<BigIntStats, "ino" | "mtimeNs">;

/** Gets the file before it can be seen as the marker. So no crash leaves a marker that no record describes. */
export type Announce = (own: MarkerFile) => void;

/** Places the marker where none is. `occupied` when somebody else's stands there. */
export function placeMarker(weightsDir: string, pid: number, announce: Announce): PlacedMarker | "occupied" {
  return placeMarkerAt(markerPath(weightsDir), pid, announce);
}

/** The same under another name of that folder. */
export function placeMarkerAt(path: string, pid: number, announce: Announce): PlacedMarker | "occupied" {
  return withTemporaryMarker(path, pid, (temporary, own) => {
    if (!linksAreOneFile(temporary, own)) return placeWithoutLinks(path, pid, announce);
    announce(own);
    try {
      linkSync(temporary, path);
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

/**
 * Whether a second name of a file shows the same inode. Some FUSE file systems (sshfs) number names instead of files: there a
 * marker that was linked would look like another's.
 */
function linksAreOneFile(file: string, own: BigIntStats): boolean {
  const { fileSystem, lockScope } = mountOf(file);
  if (!fileSystem.startsWith("fuse") || lockScope !== "unknown") return true;
  const second = temporaryPath(dirname(file));
  try {
    linkSync(file, second);
    return leadsTo(second, own);
  } catch (error) {
    // Whether there are links at all is found out by the next one.
    if (errnoOf(error) === undefined) throw error;
    return true;
  } finally {
    discard(second);
  }
}

/** For file systems without hard links. For an instant the marker is empty, as the shell's own is. */
function placeWithoutLinks(path: string, pid: number, announce: Announce): PlacedMarker | "occupied" {
  let fd: number;
  try {
    fd = createShared(path, constants.O_WRONLY | constants.O_EXCL | constants.O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "EEXIST")) return "occupied";
    throw asSystemError("create the marker", path, error);
  }
  try {
    const own = fstatSync(fd, { bigint: true });
    announce(own);
    writeAll(fd, Buffer.from(`${pid}\n`));
    return placedMarker(path, fd, own);
  } catch (error) {
    discard(path);
    closeSync(fd);
    throw asSystemError("write the marker", path, error);
  }
}

/**
 * Makes a complete marker under a name of its own. `placed` by `use` means that it has got the real one. Where flock does not
 * reach other hosts, a claim there may sweep the temporary file away in between: then all begins again.
 */
export function withTemporaryMarker<T extends "occupied" | "changed" | "unable">(
  path: string,
  pid: number,
  use: (path: string, own: BigIntStats) => "placed" | PlacedMarker | T,
): PlacedMarker | T {
  return unlessSwept(() => withOneTemporary(path, pid, use));
}

function withOneTemporary<T extends "occupied" | "changed" | "unable">(
  wanted: string,
  pid: number,
  use: (path: string, own: BigIntStats) => "placed" | PlacedMarker | T,
): PlacedMarker | T {
  const weightsDir = dirname(wanted);
  const { path, fd } = createTemporary(weightsDir, Buffer.from(`${pid}\n`));
  let keepOpen = false;
  try {
    const own = fstatSync(fd, { bigint: true });
    const result = use(path, own);
    if (result !== "placed") return result;
    keepOpen = true;
    return placedMarker(wanted, fd, own);
  } catch (error) {
    throw markerError(weightsDir, error);
  } finally {
    discard(path);
    if (!keepOpen) closeSync(fd);
  }
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
    file: own,
    modifiedNs: () => fstatSync(fd, { bigint: true }).mtimeNs,
    where,
    is: ({ inode, device }) => inode === own.ino && device === own.dev,
    knownAs: (other) => placedMarker(other, fd, own),
    close: () => closeSync(fd),
    remove: () => {
      try {
        return where() !== "in place" || discard(path);
      } finally {
        closeSync(fd);
      }
    },
  };
}
