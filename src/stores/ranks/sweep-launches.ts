import { rmSync } from "node:fs";
import { join } from "node:path";
import { recordIn } from "../../model/owner-record.ts";
import { inHeldFolder } from "../../system/files/open-beneath.ts";
import { ownFile } from "../../system/files/write-by-rename.ts";
import type { LockPrimitive } from "../../system/libc/flock.ts";
import { isReleased } from "../claim-record.ts";
import { readLockRecord } from "../folder/lock-file.ts";
import { lifeOf } from "./participant.ts";
import { lifeOfRank } from "./rank-life.ts";
import { joinedRanks, readStatus } from "./rank-status.ts";

/** A launch writes every second while it runs. A file server may be away for hours. */
const silentMs = 24 * 3_600_000;
/** Where it is not known whether a launch still runs: a suspended job may be resumed after a weekend. */
const unknownMs = 7 * silentMs;

/**
 * Removes the files of this user's launches that have ended long ago, of all configurations: those that crashed launches have
 * left, and that no later launch of the same configuration finds. `names`: what is in the lock dir. `nowMs`: by the file
 * server's clock.
 */
export function sweepLaunches(lockDir: string, names: readonly string[], primitive: LockPrimitive, nowMs: number) {
  const launches = new Map<string, string[]>();
  for (const name of names) {
    const launch = launchOf(name);
    if (launch !== null) launches.set(launch, [...(launches.get(launch) ?? []), name]);
  }
  for (const [launch, files] of launches) {
    const silence = silenceOf(lockDir, files, nowMs);
    if (silence < silentMs) continue;
    const life = lifeOfLaunch(join(lockDir, launch), primitive);
    if (life === "runs" || (life === "unknown" && silence < unknownMs)) continue;
    // The status last: without it the other files have no meaning.
    for (const name of files.sort((a, b) => b.length - a.length))
      inHeldFolder(join(lockDir, name), (held) => rmSync(held, { force: true }));
  }
}

/** The name of the status of the launch that a file belongs to; null: it is of no launch. */
export function launchOf(name: string): string | null {
  return /^(.+\.[0-9a-f]{16}\.[0-9a-f]{16}\.ranks)(?:\.\d{1,9}|\.[0-9a-f]{16}\.tmp)?$/.exec(name)?.[1] ?? null;
}

/** Milliseconds since a launch has written last; 0 where a file is another user's. */
function silenceOf(lockDir: string, files: readonly string[], nowMs: number): number {
  return Math.min(...files.map((name) => nowMs - (ownFile(join(lockDir, name))?.mtimeMs ?? nowMs)));
}

/**
 * Whether anything of a launch may still run. A launch of another host whose claim is the one that is written in the lock file
 * has not ended: it may be suspended there.
 */
function lifeOfLaunch(statusPath: string, primitive: LockPrimitive): "runs" | "gone" | "unknown" {
  const status = readStatus(statusPath)?.status ?? null;
  const leader = status === null ? "unknown" : lifeOf(status.leader);
  const lives = [leader, ...joinedRanks(statusPath).map((rank) => lifeOfRank(rank, primitive))];
  if (lives.includes("runs")) return "runs";
  if (lives.every((life) => life === "gone")) return "gone";
  const record = recordIn(readLockRecord(lockPathOf(statusPath)));
  const isCurrent = record !== null && record.trainlock?.token === status?.token && !isReleased(record);
  return isCurrent ? "runs" : "unknown";
}

/** The kernel lock file that the launch was for. */
function lockPathOf(statusPath: string): string {
  return `${statusPath.replace(/\.[0-9a-f]{16}\.[0-9a-f]{16}\.ranks$/, "")}.lock`;
}
