import { closeSync, constants, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { asSystemError, systemError } from "../libc/errno.ts";
import { randomHex } from "../random.ts";
import { shareAsFolderAsks } from "./shared-permissions.ts";

/** Replaces a file whole: readers see the old one or the new one, rename(2). Throws an EnvironmentError that names it. */
export function writeByRename(path: string, content: Uint8Array): void {
  const unfinished = `${path}.${randomHex(8)}.tmp`;
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = openSync(unfinished, flags, 0o664);
    try {
      shareAsFolderAsks(fd, unfinished);
      if (writeSync(fd, content) < content.length) throw systemError("write", path, "ENOSPC");
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
