import { constants } from "node:os";
import { dirname } from "node:path";
import { errnoName, systemError } from "./errno.ts";
import { libc } from "./libc.ts";
import { tryRangeLock, unlockRange } from "./range-lock.ts";

/** Operations of flock(2), from sys/file.h. */
const operations = { shared: 1, exclusive: 2, doNotWait: 4, unlock: 8 } as const;

const rangeLocked = new Set<string>();

/** From now on, files in this folder are locked by byte range, as the site declares (`lock_primitive: ofd`). */
export function lockByRange(folder: string): void {
  rangeLocked.add(folder);
}

export function isLockedByRange(path: string): boolean {
  return rangeLocked.size > 0 && rangeLocked.has(dirname(path));
}

/**
 * Tries a lock without waiting. `busy` only for EWOULDBLOCK: whatever else goes wrong is an {@link EnvironmentError} that
 * names file and errno, because a file system without locks must never look like a lock that is held (flock(2)).
 */
export function tryFlock(fd: number, path: string, kind: "shared" | "exclusive"): "locked" | "busy" {
  if (isLockedByRange(path)) return tryRangeLock(fd, path, kind);
  for (;;) {
    const result = libc().flock(fd, operations[kind] | operations.doNotWait);
    if (result >= 0) return "locked";
    if (-result === constants.errno.EWOULDBLOCK) return "busy";
    if (-result !== constants.errno.EINTR) throw systemError("lock", path, errnoName(-result));
  }
}

/** Gives the lock back for every process that has inherited this descriptor, not for this one alone. */
export function unlockFlock(fd: number): void {
  libc().flock(fd, operations.unlock);
  if (rangeLocked.size > 0) unlockRange(fd);
}
