import { linkSync, renameSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { RecordReading } from "../../model/owner-record.ts";
import { asSystemError, isErrno } from "../../system/libc/errno.ts";
import { randomHex } from "../../system/random.ts";
import { readLockRecord } from "./lock-record.ts";
import { discard } from "./temporary-file.ts";

/** Removes a lock file that nobody can lock, by a rename: one that says something else by now goes back. */
export function removeLockFile(path: string, judged: RecordReading): boolean {
  const away = `${path}.${randomHex(8)}.tmp`;
  try {
    renameSync(path, away);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw asSystemError("remove", path, error);
  }
  const same = isDeepStrictEqual(readLockRecord(away), judged);
  if (!same) {
    try {
      linkSync(away, path);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw asSystemError("put back", path, error);
    }
  }
  discard(away);
  return same;
}
