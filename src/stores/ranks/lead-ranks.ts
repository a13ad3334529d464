import { dirname } from "node:path";
import type { Configuration } from "../../model/configuration.ts";
import { EnvironmentError, UsageError } from "../../model/errors.ts";
import type { Layout } from "../../site/layout.ts";
import { sleep } from "../../system/clock/sleep.ts";
import type { LockPrimitive } from "../../system/libc/flock.ts";
import { readStatLine } from "../../system/processes/proc-files.ts";
import { type Acquisition, type Attempt, changedLock, type HeldLock, type LockStore, waitThen } from "../store.ts";
import { sweepLockDir } from "../sweep-lock-dir.ts";
import { Beats } from "./beats.ts";
import type { Launch } from "./launch.ts";
import { lifeOf, ourselves } from "./participant.ts";
import { lifeOfRank } from "./rank-life.ts";
import {
  createStatus,
  findStatuses,
  joinedRanks,
  newStatusPath,
  type RankStatus,
  removeLaunch,
  writeStatus,
} from "./rank-status.ts";
import { watchSplit } from "./ranks-beside.ts";
import { differentParents, unclearLaunch } from "./unclear-launch.ts";

/** Ranks start within moments of each other. A rank that has not joined by then never will. */
const joinPatienceMs = 10_000;
/** If only the parent process identifies a launch, rank 0 checks for this long whether all ranks have that parent. */
const gatherMs = 3000;
const pollMs = 100;
const beatMs = 1000;
/** After the patience, rank 0 does not wait for a rank of another host that has written nothing for so many seconds. */
const silentLooks = 15;

export interface Leading {
  /** How long the others may go on when rank 0 has ended, milliseconds. */
  readonly patienceMs: number;
  readonly onNote: (text: string) => void;
}

/**
 * Rank 0 of a launch. It takes the lock for all ranks, writes its status for them, and keeps the lock until they have ended. It
 * has a file of its own, so it cannot disturb another launch. A status that cannot be written is an EnvironmentError.
 */
export class LaunchLeader {
  readonly store: LockStore;
  readonly #launch: Launch;
  readonly #leading: Leading;
  readonly #path: string;
  readonly #primitive: LockPrimitive;
  readonly #beating: NodeJS.Timeout;
  #status: RankStatus;
  #gathered = false;

  constructor(store: LockStore, layout: Layout, configuration: Configuration, launch: Launch, leading: Leading) {
    const lockPath = layout.kernelLockPath(configuration);
    this.#launch = launch;
    this.#leading = leading;
    this.#path = newStatusPath(lockPath, launch.key);
    this.#primitive = layout.site.lockPrimitive;
    this.#status = {
      state: "asking",
      token: null,
      generation: 0,
      size: launch.size,
      leader: ourselves(),
      parentPid: process.ppid,
      parentStartTimeTicks: readStatLine(process.ppid)?.startTimeTicks ?? null,
      nodeRank: launch.nodeRank,
      beganAtMs: null,
      beat: 0,
    };
    this.#status = { ...this.#status, beganAtMs: createStatus(this.#path, this.#status) };
    removeEnded(lockPath, launch.key, this.#path, this.#primitive);
    sweepLockDir(dirname(lockPath), this.#primitive);
    this.#beating = setInterval(() => this.#trySay({ beat: this.#status.beat + 1 }), beatMs);
    this.store = {
      acquire: async (...request) => {
        await this.#gather();
        const acquisition = await store.acquire(...request).catch((error: unknown) => {
          if (error instanceof UsageError) this.#trySay({ state: "refused" });
          throw error;
        });
        return this.#announce(acquisition);
      },
    };
  }

  /** Writes the last status, so that ranks which start late do not wait. Removes the files if no other rank needs them. */
  conclude(): void {
    clearInterval(this.#beating);
    if (!["lost", "unclear", "refused"].includes(this.#status.state)) this.#say({ state: "over" });
    removeIfAllEnded(this.#path, this.#launch.size);
  }

  #say(change: Partial<RankStatus>): void {
    this.#status = { ...this.#status, ...change };
    writeStatus(this.#path, this.#status);
  }

  /** For a status that the others would find out without it, only later. */
  #trySay(change: Partial<RankStatus>): void {
    try {
      this.#say(change);
    } catch (error) {
      if (!(error instanceof EnvironmentError)) throw error;
    }
  }

  async #gather(): Promise<void> {
    const { size, proof } = this.#launch;
    if (this.#gathered || proof !== "same parent" || size === null) return;
    this.#gathered = true;
    const isCertain = watchSplit(this.#launch);
    for (const giveUpAt = performance.now() + gatherMs; performance.now() < giveUpAt; await sleep(pollMs)) {
      if (joinedRanks(this.#path).length >= size - 1) return;
      if (!isCertain()) continue;
      this.#trySay({ state: "unclear" });
      throw unclearLaunch(differentParents);
    }
  }

  async #announce(acquisition: Acquisition): Promise<Acquisition> {
    if (acquisition.kind === "busy") {
      const again = async (attempt: Attempt, token?: string) => this.#announce(await attempt.acquire(token));
      return { ...acquisition, wait: waitThen(acquisition.wait, again) };
    }
    const { lock } = acquisition;
    try {
      this.#say({ state: "held", token: lock.token, generation: lock.generation });
    } catch (error) {
      await lock.release();
      throw error;
    }
    lock.lost.addEventListener("abort", () => this.#trySay({ state: "lost" }), { once: true });
    return { kind: "held", lock: this.#releasedLast(lock) };
  }

  #releasedLast(lock: HeldLock): HeldLock {
    return changedLock(lock, {
      release: async (outcome) => {
        try {
          if (!lock.lost.aborted) {
            this.#trySay({ state: "ended" });
            await this.#outlastOthers(lock.lost);
          }
        } finally {
          await lock.release(outcome);
        }
      },
    });
  }

  /** Waits without a limit for a rank that runs: after a release, another job could take the lock while that rank trains. */
  async #outlastOthers(lost: AbortSignal): Promise<void> {
    const { patienceMs, onNote } = this.#leading;
    const beats = new Beats();
    const endedAt = performance.now();
    const others = this.#launch.size === null ? 0 : this.#launch.size - 1;
    for (let noted = false; !lost.aborted; await sleep(pollMs)) {
      const elapsed = performance.now() - endedAt;
      const joined = joinedRanks(this.#path).map((rank) => ({ ...rank, life: lifeOfRank(rank, this.#primitive) }));
      const running = joined.filter(({ life }) => life !== "gone");
      if (running.length === 0 && (joined.length >= others || elapsed > joinPatienceMs)) return;
      if (elapsed < patienceMs) continue;
      const certain = running.filter(
        ({ path, presence, life }) => life === "runs" || beats.unchanged(path, presence?.beat ?? 0) < silentLooks,
      );
      if (certain.length === 0 && elapsed > patienceMs + silentLooks * beatMs) return;
      if (noted || certain.length === 0) continue;
      noted = true;
      const ranks = certain.map(({ rank }) => rank).join(", ");
      onNote(`rank 0 has ended, but of its launch rank ${ranks} goes on: keeping the lock until it has ended`);
    }
  }
}

/** Every process of a launch calls this at its end. The last one removes the files. */
export function removeIfAllEnded(path: string, size: number | null): void {
  if (size === null) return;
  const joined = joinedRanks(path);
  const isOver = joined.length >= size - 1 && joined.every(({ presence }) => presence?.state === "ended");
  if (isOver) removeLaunch(path);
}

/** Removes files of crashed launches. They disturb nobody, so a failure does no harm. */
function removeEnded(lockPath: string, launchKey: string, own: string, primitive: LockPrimitive): void {
  try {
    for (const { path, status } of findStatuses(lockPath)) {
      if (path === own || lifeOf(status.leader) !== "gone") continue;
      const joined = joinedRanks(path);
      const complete = status.size !== null && joined.length >= status.size - 1;
      const launcher = { ...status.leader, pid: status.parentPid, startTimeTicks: status.parentStartTimeTicks };
      // Ranks that start later need the status: they may be on other hosts, or the same parent may still start them.
      const nobodyComes =
        complete || launchKey === keyIn(path) || (status.size !== null && lifeOf(launcher) === "gone");
      if (nobodyComes && joined.every((rank) => lifeOfRank(rank, primitive) === "gone")) removeLaunch(path);
    }
  } catch (error) {
    if (!(error instanceof EnvironmentError || (error instanceof Error && "code" in error))) throw error;
  }
}

function keyIn(path: string): string | undefined {
  return /\.([0-9a-f]{16})\.[0-9a-f]{16}\.ranks$/.exec(path)?.[1];
}
