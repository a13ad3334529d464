import { dirname } from "node:path";
import { EnvironmentError, UsageError } from "../../model/errors.ts";
import { fileServerNow } from "../../system/files/file-server-time.ts";
import { makeHeldFolder } from "../../system/files/open-beneath.ts";
import { asSystemError } from "../../system/libc/errno.ts";
import type { LockPrimitive } from "../../system/libc/flock.ts";
import { readStatLine } from "../../system/processes/proc-files.ts";
import { Beats } from "./beats.ts";
import type { Launch } from "./launch.ts";
import { isOnOurKernel, lifeOf, parentAgeMs } from "./participant.ts";
import { Place } from "./place.ts";
import { type FoundStatus, findStatuses, isTaken, type RankStatus, readStatus } from "./rank-status.ts";
import { watchSplit } from "./ranks-beside.ts";
import { differentParents, unclearLaunch } from "./unclear-launch.ts";

/** Ranks start within moments of each other. A rank 0 that was started without trainlock never writes a status. */
const silenceMs = 600_000;
/** A rank 0 may end before it has the lock. Its launcher may start it again within this time. */
const startedAgainMs = 10_000;
/** Scripts start the ranks of several hosts one after the other. */
const oneAfterTheOtherMs = 10_000;
/** A status `over` may be left from the launch before. So a living rank 0 has this long to appear. */
const overSettlesMs = 1000;
/** If a rank 0 of another host has written nothing in so many looks, it has ended, or its host is gone. */
const silentLooks = 15;

/** The search of a rank for its rank 0. Once the rank has joined a launch, it reads the status of that launch only. */
export class LeaderSearch {
  readonly #lockPath: string;
  readonly #launch: Launch;
  readonly #beats = new Beats();
  readonly #isSplit: () => boolean;
  readonly #parentStartedAtMs: number | null;
  #aloneSince = performance.now();
  #overSince: number | null = null;
  #strangerSince: number | null = null;
  #lostLeader = false;
  readonly #parent = process.ppid;
  readonly #primitive: LockPrimitive;
  #place: Place | null = null;

  constructor(lockPath: string, launch: Launch, primitive: LockPrimitive) {
    this.#primitive = primitive;
    this.#lockPath = lockPath;
    this.#launch = launch;
    this.#isSplit = launch.proof === "same parent" ? watchSplit(launch) : () => false;
    this.#parentStartedAtMs = launch.proof === "older parent" ? timeAt(dirname(lockPath)) - parentAgeMs() : null;
  }

  /** The place in the launch that this rank has joined; null: it has joined none yet. */
  get place(): Place | null {
    return this.#place;
  }

  /**
   * Looks once, and joins the first launch that is provably ours. Null: there is no such rank 0 yet. Throws a UsageError if
   * nothing shows which launch is ours, and an EnvironmentError if there is no rank 0 to wait for.
   */
  look(): RankStatus | null {
    this.#place ??= this.#join();
    if (this.#place === null) {
      this.#giveUpInTime();
      return null;
    }
    const path = this.#place.statusPath;
    const status = readStatus(path)?.status ?? null;
    if (status?.state === "unclear") throw unclearLaunch(differentParents);
    if (status?.state === "refused") throw new UsageError("rank 0 was refused", { hint: "its own message says why" });
    if (status === null || status.state !== "asking" || !this.#isGone(path, status)) return status;
    // Rank 0 has ended before it had the lock, or before it could write that it had.
    this.#place.leave();
    this.#place = null;
    this.#lostLeader = true;
    this.#aloneSince = performance.now();
    return null;
  }

  #join(): Place | null {
    const { rank, key } = this.#launch;
    const free = findStatuses(this.#lockPath, key).filter(({ path }) => !isTaken(path, rank));
    const provable = free.filter((found) => this.#isOurs(found));
    const living = provable.filter(({ path, status }) => isUnderWay(status) && !this.#isGone(path, status));
    // Rank 0 may have ended before our first look.
    if (!this.#lostLeader && living.length === 0 && provable.some(({ status }) => isUnderWay(status))) {
      this.#lostLeader = true;
      this.#aloneSince = performance.now();
    }
    const over = provable.filter(({ status }) => !isUnderWay(status));
    const now = performance.now();
    this.#overSince = over.length === 0 ? null : (this.#overSince ?? now);
    const settled = this.#overSince !== null && now - this.#overSince > overSettlesMs;
    const strangers = free.filter((found) => isUnderWay(found.status) && !this.#isOurs(found));
    this.#strangerSince = strangers.length === 0 ? null : (this.#strangerSince ?? now);
    for (const { path } of [...living, ...(settled ? over : [])]) {
      const place = Place.take(path, rank, this.#primitive);
      if (place !== null) return place;
    }
    return null;
  }

  /** Whether a rank 0 with our key belongs to our launch. On our host it has our parent, unless another agent started it. */
  #isOurs({ status, beganAtMs }: FoundStatus): boolean {
    if (this.#parentStartedAtMs === null) return true;
    const ofOtherAgent = status.nodeRank !== null && status.nodeRank !== this.#launch.nodeRank;
    if (isOnOurKernel(status.leader) && !ofOtherAgent)
      return (
        status.parentPid === process.ppid &&
        status.parentStartTimeTicks === (readStatLine(process.ppid)?.startTimeTicks ?? null)
      );
    return this.#parentStartedAtMs <= beganAtMs + oneAfterTheOtherMs;
  }

  #isGone(path: string, { leader, beat }: RankStatus): boolean {
    const life = lifeOf(leader);
    return life === "gone" || (life === "elsewhere" && this.#beats.unchanged(path, beat) >= silentLooks);
  }

  #giveUpInTime(): void {
    const now = performance.now();
    if (this.#launch.proof === "same parent" && process.ppid !== this.#parent)
      throw new EnvironmentError("the launcher of this rank has ended, and there is no rank 0", {
        code: "ERR_NO_RANK_0",
        hint: "start the launch again",
      });
    if (this.#isSplit()) throw unclearLaunch(differentParents);
    if (this.#strangerSince !== null && now - this.#strangerSince > oneAfterTheOtherMs)
      throw unclearLaunch("a rank 0 of these variables is there, and nothing shows that it is this launch's");
    if (this.#lostLeader && now - this.#aloneSince > startedAgainMs)
      throw new EnvironmentError("rank 0 has ended before this rank had started", {
        code: "ERR_RANK_0_GONE",
        hint: "its own messages say why; start the launch again",
      });
    if (now - this.#aloneSince > silenceMs)
      throw new EnvironmentError(
        `rank 0 has written nothing for ${silenceMs / 60_000} minutes (${dirname(this.#lockPath)})`,
        { code: "ERR_NO_RANK_0", hint: "start every rank under `trainlock run --ranks job`, on one shared folder" },
      );
  }
}

/** Whether a rank 0 may still start its command, or runs it. */
function isUnderWay({ state }: RankStatus): boolean {
  return state === "asking" || state === "held" || state === "ended";
}

/** Throws an EnvironmentError where the lock dir cannot be made or written. */
function timeAt(lockDir: string): number {
  makeHeldFolder(lockDir).close();
  try {
    return fileServerNow(lockDir);
  } catch (error) {
    throw asSystemError("write into", lockDir, error);
  }
}
