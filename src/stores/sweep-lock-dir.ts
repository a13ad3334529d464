import { closeSync, constants, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { EnvironmentError } from "../model/errors.ts";
import { recordIn } from "../model/owner-record.ts";
import { siteProofName } from "../site/lock-scope.ts";
import { fileServerNow, timeFileName } from "../system/files/file-server-time.ts";
import { namesIn } from "../system/files/names-in.ts";
import { inHeldFolder } from "../system/files/open-beneath.ts";
import { isScratch, sweepScratches } from "../system/files/scratch.ts";
import { abandonedAfterMs, isUnfinished, ownFile } from "../system/files/write-by-rename.ts";
import { errnoOf } from "../system/libc/errno.ts";
import { type LockPrimitive, tryLock } from "../system/libc/flock.ts";
import { readLockRecord } from "./folder/lock-file.ts";
import { launchOf, sweepLaunches } from "./ranks/sweep-launches.ts";

const dayMs = 24 * 3_600_000;
/** Where no record says which claim is the last. */
const forgottenMs = 30 * dayMs;

/**
 * Removes from a lock dir what killed processes of this user have left there, once it is old by the file server's clock: files
 * that were about to replace another or were made for their time, locks inside of claims that are over, files of launches. A
 * failure does no harm: all of it is in nobody's way. A folder in which nothing is left costs one look.
 */
export function sweepLockDir(lockDir: string, primitive: LockPrimitive, timeIn = fileServerNow): void {
  try {
    const names = namesIn(lockDir) ?? [];
    const launches = names.filter((name) => launchOf(name) !== null);
    const files = [...names.filter(isLeftover), ...notesIn(lockDir)];
    const scratches = names.filter(isScratch);
    if (launches.length + files.length + scratches.length === 0) return;
    const nowMs = timeIn(lockDir);
    for (const path of files.map((name) => join(lockDir, name)))
      if (isOver(path, primitive, nowMs)) inHeldFolder(path, (held) => rmSync(held, { force: true }));
    sweepLaunches(lockDir, launches, primitive, nowMs);
    if (scratches.length > 0) sweepScratches(lockDir, nowMs);
  } catch (error) {
    if (errnoOf(error) === undefined && !(error instanceof EnvironmentError)) throw error;
  }
}

const innerLock = /^(.+)\.([0-9a-f]{32})\.(?:rank\d+\.)?\d+\.inner$/;
/** A lock file that nobody can lock, on its way out. */
const lockOnItsWay = /\.lock\.[0-9a-f]{16}\.tmp$/;

function isLeftover(name: string): boolean {
  return (
    timeFileName.test(name) || lockOnItsWay.test(name) || innerLock.test(name) || isUnfinished(name, siteProofName)
  );
}

/** What workers note of their runs, by the names of unfinished files. */
function notesIn(lockDir: string): string[] {
  const names = namesIn(join(lockDir, "work")) ?? [];
  return names.filter((name) => /\.json\.[0-9a-f]{16}\.tmp$/.test(name)).map((name) => join("work", name));
}

function isOver(path: string, primitive: LockPrimitive, nowMs: number): boolean {
  const stats = ownFile(path);
  if (stats === null) return false;
  const writtenMs = nowMs - stats.mtimeMs;
  const [, stem = "", token] = innerLock.exec(path) ?? [];
  // A rename leaves the time of the last write as it was.
  if (token === undefined)
    return Math.min(writtenMs, lockOnItsWay.test(path) ? nowMs - stats.ctimeMs : writtenMs) > abandonedAfterMs;
  if (writtenMs < dayMs) return false;
  const last = recordIn(readLockRecord(`${stem}.lock`))?.trainlock?.token ?? null;
  const isOfLast = last === null ? writtenMs < forgottenMs : last === token;
  return !isOfLast && !isLocked(path, primitive);
}

/** As this host sees it. */
function isLocked(path: string, primitive: LockPrimitive): boolean {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    return tryLock(primitive, fd, path, "shared") === "busy";
  } finally {
    closeSync(fd);
  }
}
