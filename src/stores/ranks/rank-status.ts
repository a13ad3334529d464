import { closeSync, constants, fstatSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { lazily } from "../../model/lazily.ts";
import { kernelLockStem } from "../../site/layout.ts";
import { freshFlag } from "../../system/files/fresh-read.ts";
import { inHeldFolder, makeHeldFolder } from "../../system/files/open-beneath.ts";
import { readRegularFile } from "../../system/files/read-regular-file.ts";
import { createShared } from "../../system/files/shared-permissions.ts";
import { writeAll } from "../../system/files/write-all.ts";
import { writeByRename } from "../../system/files/write-by-rename.ts";
import { asSystemError, isErrno, systemError } from "../../system/libc/errno.ts";
import { randomHex } from "../../system/random.ts";
import { participantSchema } from "./participant.ts";

const statusSuffix = ".ranks";
const largestFileBytes = 4096;

const beat = lazily(() => v.pipe(v.number(), v.safeInteger(), v.minValue(0)));
const token = lazily(() => v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)));

const statusSchema = lazily(() =>
  v.object({
    state: v.picklist(["asking", "held", "ended", "lost", "over", "unclear", "refused"]),
    token: v.nullable(token()),
    generation: beat(),
    size: v.nullable(beat()),
    leader: participantSchema(),
    parentPid: beat(),
    parentStartTimeTicks: v.nullable(beat()),
    nodeRank: v.nullable(v.pipe(v.string(), v.maxLength(64))),
    beganAtMs: v.nullable(v.pipe(v.number(), v.minValue(0))),
    beat: beat(),
  }),
);

/**
 * What rank 0 writes for the other ranks of its launch. `asking`: it does not have the lock yet. `held`: the others may start.
 * `ended`: its command has ended, and it holds the lock for the others. `lost`: the others must stop. `over`: another job holds
 * the lock, there was nothing to do, or all ranks have ended. `unclear`: nothing tells its ranks from those of other launches.
 * `refused`: its call is wrong, so theirs are wrong as well.
 * `beganAtMs` is when the file was made, by the file server's clock; `beat` grows every second.
 */
export type RankStatus = v.InferOutput<ReturnType<typeof statusSchema>>;

/** So that the file of a rank stays small. */
export const mostUnmarked = 40;

const presenceSchema = lazily(() =>
  v.object({
    state: v.picklist(["waiting", "running", "ended"]),
    token: v.nullable(token()),
    follower: participantSchema(),
    beat: beat(),
    unmarked: v.optional(v.pipe(v.array(v.tuple([beat(), beat()])), v.maxLength(mostUnmarked)), () => []),
  }),
);

/**
 * What a joined rank is doing. `unmarked`: PID and start time of the processes of its command that have not the claim's variables,
 * and would be found by nothing else if they have closed the lock and the rank is killed. Rank 0 keeps the lock until none of them
 * runs.
 */
export type Presence = v.InferOutput<ReturnType<typeof presenceSchema>>;

/**
 * The status of one rank 0, beside the kernel lock file. Each rank 0 has a file of its own: launches of one name, at once or
 * one after the other, never write over each other's.
 */
export function newStatusPath(lockPath: string, launchKey: string): string {
  return join(dirname(lockPath), `${kernelLockStem(lockPath)}.${launchKey}.${randomHex(8)}${statusSuffix}`);
}

/** The path that a rank waits for before it has found a rank 0. */
export function unknownStatusPath(lockPath: string, launchKey: string): string {
  return join(dirname(lockPath), `${kernelLockStem(lockPath)}.${launchKey}${statusSuffix}`);
}

export function isRankStatus(path: string): boolean {
  return path.endsWith(statusSuffix);
}

/** Creates a new file, and returns when it was created, by the file server's clock in milliseconds since the epoch. */
export function createStatus(path: string, status: RankStatus | null): number {
  makeHeldFolder(dirname(path)).close();
  const made = createWhole(path, status);
  if (made === null) throw systemError("write", path, "EEXIST");
  closeSync(made.fd);
  return made.madeAtMs;
}

export function writeStatus(path: string, status: RankStatus): void {
  inHeldFolder(path, (held) => writeByRename(held, contentOf(status)));
}

export interface FoundStatus {
  readonly path: string;
  readonly status: RankStatus;
  /** When its rank 0 began, by the file server's clock, milliseconds since the epoch. */
  readonly beganAtMs: number;
}

/** Null: there is no readable status. */
export function readStatus(path: string): FoundStatus | null {
  const file = readRegularFile(path, largestFileBytes, { extraFlags: freshFlag(path) });
  if (file.kind !== "file") return null;
  const status = parsed(statusSchema(), file.bytes);
  return status === null ? null : { path, status, beganAtMs: status.beganAtMs ?? Number(file.stats.mtimeMs) };
}

/** The statuses of all launches with this key, or of all of the configuration's launches; the oldest first. */
export function findStatuses(lockPath: string, launchKey: string | null = null): FoundStatus[] {
  const stem = `${kernelLockStem(lockPath)}.`;
  const paths = namesIn(dirname(lockPath)).flatMap((name) => {
    const key = name.startsWith(stem)
      ? /^([0-9a-f]{16})\.[0-9a-f]{16}\.ranks$/.exec(name.slice(stem.length))?.[1]
      : null;
    return key != null && (launchKey === null || key === launchKey) ? [join(dirname(lockPath), name)] : [];
  });
  return paths.flatMap((path) => readStatus(path) ?? []).sort((a, b) => a.beganAtMs - b.beganAtMs);
}

/** The locks of a folder that have a status of a launch beside them, by the stems of their names. */
export function locksWithLaunches(lockDir: string): ReadonlySet<string> {
  return new Set(namesIn(lockDir).flatMap((name) => /^(.+)\.[0-9a-f]{16}\.[0-9a-f]{16}\.ranks$/.exec(name)?.[1] ?? []));
}

export function isTaken(statusPath: string, rank: number): boolean {
  return readRegularFile(placePath(statusPath, rank), 0).kind !== "absent";
}

export interface JoinedRank {
  readonly rank: number;
  /** Its file. */
  readonly path: string;
  /** Null: its file says nothing usable. */
  readonly presence: Presence | null;
}

/** What the ranks that have joined are doing. */
export function joinedRanks(statusPath: string): JoinedRank[] {
  return ranksJoined(statusPath).flatMap((rank) => {
    const path = placePath(statusPath, rank);
    const file = readRegularFile(path, largestFileBytes, { extraFlags: freshFlag(path) });
    if (file.kind === "absent") return [];
    return [{ rank, path, presence: file.kind === "file" ? parsed(presenceSchema(), file.bytes) : null }];
  });
}

function ranksJoined(statusPath: string): number[] {
  const stem = `${basename(statusPath)}.`;
  return namesIn(dirname(statusPath)).flatMap((name) => {
    const rank = name.startsWith(stem) ? name.slice(stem.length) : "";
    return /^\d{1,9}$/.test(rank) ? [Number(rank)] : [];
  });
}

/** Removes all files of a launch, the status last: without a status, the other files have no meaning. */
export function removeLaunch(statusPath: string): void {
  const stem = `${basename(statusPath)}.`;
  // Also temporary files that a crash has left.
  const own = namesIn(dirname(statusPath)).filter((name) => name.startsWith(stem));
  for (const name of own) rmSync(join(dirname(statusPath), name), { force: true });
  rmSync(statusPath, { force: true });
}

export function placePath(statusPath: string, rank: number): string {
  return `${statusPath}.${rank}`;
}

export function contentOf(value: RankStatus | Presence | null): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

function parsed<T extends v.GenericSchema>(schema: T, bytes: Buffer): v.InferOutput<T> | null {
  try {
    const result = v.safeParse(schema, JSON.parse(bytes.toString("utf8")));
    return result.success ? result.output : null;
  } catch {
    return null;
  }
}

/** Null: the name is taken. Else the open file, and when it was made, milliseconds since the epoch by the file server's clock. */
export function createWhole(
  path: string,
  value: RankStatus | Presence | null,
): { readonly fd: number; readonly madeAtMs: number } | null {
  const content = contentOf(value);
  let fd: number | null = null;
  try {
    const flags = constants.O_RDWR | constants.O_EXCL | constants.O_NOFOLLOW;
    fd = inHeldFolder(path, (held) => createShared(held, flags));
    writeAll(fd, content);
    return { fd, madeAtMs: fstatSync(fd).mtimeMs };
  } catch (error) {
    if (fd !== null) closeSync(fd);
    if (isErrno(error, "EEXIST")) return null;
    throw asSystemError("write", path, error);
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw asSystemError("list", folder, error);
  }
}
