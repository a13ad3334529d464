import { fstatSync, lstatSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { leadsTo, sameFile } from "../../system/files/same-file.ts";
import { errnoOf } from "../../system/libc/errno.ts";
import { renameToFreePath } from "../../system/libc/exchange-files.ts";
import { whileNobodyOpens } from "../../system/libc/write-lease.ts";
import { randomHex } from "../../system/random.ts";
import { mountOfLocks } from "./lock-mount.ts";
import { discard } from "./temporary-file.ts";

/**
 * Removes a lock file that this process has made and locked, and could not write into. An old job that has opened it meanwhile
 * would lock a file without a name, and never notice: the file stays unless a lease (fcntl(2), F_SETLEASE) shows that nobody else
 * has it open. A lease sees the processes of this host alone: where others share the file system, the file stays, too. No failure
 * matters.
 */
export function removeUnusedLockFile(path: string, fd: number): void {
  if (mountOfLocks(dirname(path)).shared !== false) return;
  try {
    const own = fstatSync(fd, { bigint: true });
    if (own.size !== 0n || own.nlink !== 1n || !leadsTo(path, own)) return;
    whileNobodyOpens(fd, (isStillSo) => {
      // Aside first: whoever opens it in this moment waits for us, and gets it back under its name.
      const aside = `${path}.${randomHex(8)}.tmp`;
      renameSync(path, aside);
      const isOwn = sameFile(lstatSync(aside, { bigint: true }), own);
      if (isOwn && isStillSo()) discard(aside);
      else if (!renameToFreePath(aside, path)) discard(aside);
    });
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}
