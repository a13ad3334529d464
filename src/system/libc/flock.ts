import { constants } from "node:os";
import { errnoName, systemError } from "./errno.ts";
import { libc } from "./libc.ts";
import { tryRangeLock, unlockRange } from "./range-lock.ts";

/** Operations of flock(2), from sys/file.h. */
const operations = { shared: 1, exclusive: 2, doNotWait: 4, unlock: 8 } as const;

/** How a site's lock files are locked: by flock(2), or by a byte-range lock of the open file (`lock_primitive: ofd`). */
export const lockPrimitives = ["flock", "ofd"] as const;
export type LockPrimitive = (typeof lockPrimitives)[number];

/** Tries a lock of the given kind without waiting. Neither kind sees the other: a site uses one of them everywhere. */
export function tryLock(
  primitive: LockPrimitive,
  fd: number,
  path: string,
  kind: "shared" | "exclusive",
): "locked" | "busy" {
  return primitive === "ofd" ? tryRangeLock(fd, path, kind) : tryFlock(fd, path, kind);
}

/** Releases the lock for every process that has inherited this descriptor, not for this one alone. */
export function unlock(primitive: LockPrimitive, fd: number): void {
  if (primitive === "ofd") unlockRange(fd);
  else libc().flock(fd, operations.unlock);
}

/**
 * Tries a lock without waiting. `busy` only for EWOULDBLOCK: whatever else goes wrong is an {@link EnvironmentError} that
 * names file and errno, because a file system without locks must never look like a lock that is held (flock(2)).
 */
export function tryFlock(fd: number, path: string, kind: "shared" | "exclusive"): "locked" | "busy" {
  for (;;) {
    const result = libc().flock(fd, operations[kind] | operations.doNotWait);
    if (result >= 0) return "locked";
    if (-result === constants.errno.EWOULDBLOCK) return "busy";
    if (-result !== constants.errno.EINTR) throw systemError("lock", path, errnoName(-result));
  }
}
