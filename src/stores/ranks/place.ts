import { closeSync, constants, openSync } from "node:fs";
import { dirname } from "node:path";
import { settledMount } from "../../site/lock-scope.ts";
import { mountOf } from "../../system/files/mounts.ts";
import { isErrno } from "../../system/libc/errno.ts";
import { type LockPrimitive, tryLock, unlock } from "../../system/libc/flock.ts";
import type { ProcessIdentity } from "../../system/processes/process-tree.ts";
import { writeWhole } from "../folder/kernel-lock.ts";
import { ourselves } from "./participant.ts";
import { contentOf, createWhole, mostUnmarked, type Presence, placePath } from "./rank-status.ts";

type Said = Pick<Presence, "state" | "token" | "beat">;

/**
 * A rank's place in a launch: a file that the rank and its command keep locked. So the kernel shows whether a process of that rank
 * still runs, on any host, even if its wrapper and rank 0 are gone.
 */
export class Place {
  readonly statusPath: string;
  /** The descriptors that the command of the rank inherits; none if the file system has no locks. */
  readonly descriptors: readonly number[];
  readonly #path: string;
  readonly #fd: number;
  readonly #primitive: LockPrimitive;
  #isOpen = true;
  #unmarked: Presence["unmarked"] = [];
  #said: Said = { state: "waiting", token: null, beat: 0 };

  private constructor(statusPath: string, path: string, fd: number, primitive: LockPrimitive, isLocked: boolean) {
    this.statusPath = statusPath;
    this.descriptors = isLocked ? [fd] : [];
    this.#path = path;
    this.#fd = fd;
    this.#primitive = primitive;
  }

  /** Null: another process has joined as that rank, so this process belongs to another launch. */
  static take(statusPath: string, rank: number, primitive: LockPrimitive): Place | null {
    const path = placePath(statusPath, rank);
    const made = createWhole(path, { state: "waiting", token: null, follower: ourselves(), beat: 0, unmarked: [] });
    if (made === null) return null;
    try {
      const keepsLocks = settledMount(dirname(path), mountOf(dirname(path))).lockScope !== "none";
      if (keepsLocks) tryLock(primitive, made.fd, path, "exclusive");
      return new Place(statusPath, path, made.fd, primitive, keepsLocks);
    } catch (error) {
      closeSync(made.fd);
      throw error;
    }
  }

  say(said: Said): void {
    this.#said = said;
    const presence = { ...said, follower: ourselves(), unmarked: this.#unmarked };
    if (this.#isOpen) writeWhole(this.#fd, this.#path, contentOf(presence));
  }

  /** Notes the processes of the rank's command that have not the claim's variables. */
  noteUnmarked(processes: readonly ProcessIdentity[]): void {
    const unmarked = processes
      .slice(0, mostUnmarked)
      .map(({ pid, startTimeTicks }): [number, number] => [pid, startTimeTicks]);
    if (JSON.stringify(unmarked) === JSON.stringify(this.#unmarked)) return;
    this.#unmarked = unmarked;
    this.say(this.#said);
  }

  /** Writes that the rank has ended, and unlocks the file, also for processes that have inherited the descriptor. */
  leave(): void {
    if (!this.#isOpen) return;
    try {
      this.say({ state: "ended", token: null, beat: 0 });
    } finally {
      this.#isOpen = false;
      if (this.descriptors.length > 0) unlock(this.#primitive, this.#fd);
      closeSync(this.#fd);
    }
  }
}

/** Whether any process holds the lock of a rank's file, as seen from this host; null: it cannot be asked. */
export function isPlaceLocked(path: string, primitive: LockPrimitive): boolean | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    return isErrno(error, "ENOENT") ? false : null;
  }
  try {
    return tryLock(primitive, fd, path, "shared") === "busy";
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}
