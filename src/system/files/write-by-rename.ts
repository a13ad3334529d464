import { closeSync, constants, lstatSync, readdirSync, renameSync, type Stats, unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { asSystemError, errnoOf } from "../libc/errno.ts";
import { randomHex } from "../random.ts";
import { createShared } from "./shared-permissions.ts";
import { writeAll } from "./write-all.ts";

/** Replaces a file whole: readers see the old one or the new one, rename(2). Throws an EnvironmentError that names it. */
export function writeByRename(path: string, content: Uint8Array): void {
  const unfinished = `${path}.${randomHex(8)}.tmp`;
  try {
    const flags = constants.O_WRONLY | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = createShared(unfinished, flags);
    try {
      writeAll(fd, content);
      renameSync(unfinished, path);
    } catch (error) {
      unlinkSync(unfinished);
      throw error;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw asSystemError("write", path, error);
  }
}

/** Far longer than any file takes to be written. */
export const abandonedAfterMs = 3_600_000;

/** Whether `found` is the name of an unfinished file of {@link writeByRename}, for a file that is called `name`. */
export function isUnfinished(found: string, name: string): boolean {
  return found.startsWith(`${name}.`) && /^\.[0-9a-f]{16}\.tmp$/.test(found.slice(name.length));
}

/**
 * Called after a file was replaced: removes what processes of this user that were killed while they wrote it have left beside it,
 * if it is old by the file server's clock. One that cannot be removed is in nobody's way.
 */
export function sweepUnfinished(path: string): void {
  try {
    const nowMs = lstatSync(path).mtimeMs;
    const folder = dirname(path);
    for (const name of readdirSync(folder).filter((found) => isUnfinished(found, basename(path)))) {
      const left = join(folder, name);
      if (nowMs - (ownFile(left)?.mtimeMs ?? nowMs) > abandonedAfterMs) unlinkSync(left);
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

/** A file of this user; null: there is none of that name. */
export function ownFile(path: string): Stats | null {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isFile() === true && stats.uid === process.geteuid?.() ? stats : null;
}
