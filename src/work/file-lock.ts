import { closeSync, constants } from "node:fs";
import { EnvironmentError } from "../model/errors.ts";
import { sleep } from "../system/clock/sleep.ts";
import { createShared } from "../system/files/shared-permissions.ts";
import { asSystemError } from "../system/libc/errno.ts";
import { tryFlock } from "../system/libc/flock.ts";

const [leastPauseMs, mostPauseMs] = [2, 50];

/** Does `work` while nobody else does it under this lock file. Throws an EnvironmentError where that takes too long. */
export async function withFileLock<T>(path: string, work: () => Promise<T>, patienceMs = 5000): Promise<T> {
  const fd = openLockFile(path);
  try {
    const giveUpAt = performance.now() + patienceMs;
    for (let pauseMs = leastPauseMs; tryFlock(fd, path, "exclusive") === "busy"; ) {
      if (performance.now() > giveUpAt) {
        throw new EnvironmentError(`${path} is locked by another process for more than ${patienceMs / 1000} s`, {
          code: "ERR_LOCK_BUSY",
          hint: "fuser -v shows by which",
        });
      }
      await sleep(pauseMs);
      pauseMs = Math.min(mostPauseMs, pauseMs * 2);
    }
    return await work();
  } finally {
    closeSync(fd);
  }
}

function openLockFile(path: string): number {
  try {
    return createShared(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    throw asSystemError("open the lock file", path, error);
  }
}
