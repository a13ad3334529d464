import { type Stats, statSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf, isErrno } from "../libc/errno.ts";

/** Milliseconds between the attempts: half a second in all. */
const pauses = [1, 3, 10, 30, 100, 400];

/** Older things have the permissions that they are to have. Clocks of hosts and file servers differ by less, or this is no help. */
const settledAfterMs = 5000;

/**
 * Tries again for a moment where `path` or its folder may still be being made by another process. A file server may deny what
 * another host is just making: GlusterFS answers EEXIST to a mkdir, and ENOENT to an open after it, until the new folder has its
 * number. A program that may not change its umask gives what it has made to the group only afterwards (EACCES until then).
 */
export function onceMade<T>(path: string, attempt: () => T): T {
  return retried(attempt, (error) => isErrno(error, "ENOENT") || (isErrno(error, "EACCES") && isYoung(path)));
}

/** The same where a missing thing is an answer: waits only for what is there and may not be used yet. */
export function onceAllowed<T>(path: string, attempt: () => T): T {
  return retried(attempt, (error) => isErrno(error, "EACCES") && isYoung(path));
}

/** The same for a way through several folders: one that other hosts have just made may be known by a number that is out of date. */
export function onceKnown<T>(attempt: () => T): T {
  return retried(attempt, (error) => isErrno(error, "ESTALE"));
}

function retried<T>(attempt: () => T, mayPass: (error: unknown) => boolean): T {
  for (const pause of pauses) {
    try {
      return attempt();
    } catch (error) {
      if (!mayPass(error)) throw error;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
  }
  return attempt();
}

function isYoung(path: string): boolean {
  return [path, dirname(path)].some((each) => {
    const stats = statsOf(each);
    return stats !== undefined && Math.abs(Date.now() - stats.ctimeMs) < settledAfterMs;
  });
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}
