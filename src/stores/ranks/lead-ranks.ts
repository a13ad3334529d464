import type { Configuration } from "../../model/configuration.ts";
import { EnvironmentError } from "../../model/errors.ts";
import type { Layout } from "../../site/layout.ts";
import { sleep } from "../../system/clock/sleep.ts";
import { type Acquisition, type Attempt, changedLock, type HeldLock, type LockStore, waitThen } from "../store.ts";
import type { Launch } from "./launch.ts";
import {
  type RankStatus,
  rankStatusPath,
  readPresence,
  removePresence,
  sweepRankStatuses,
  writeRankStatus,
} from "./rank-status.ts";

/** Ranks start within moments of each other: who has not joined by then never will. */
const joinPatienceMs = 10_000;
const pollMs = 100;

export interface Leading {
  readonly store: LockStore;
  /** The last status: without it, ranks that have not begun would wait for one. */
  conclude(): void;
}

/**
 * Rank 0 of a launch: takes the lock for all, lets them know, and keeps it until the others are done as well, for at most
 * `patienceMs`. Words that cannot be written are an EnvironmentError.
 */
export function leadRanks(
  store: LockStore,
  layout: Layout,
  configuration: Configuration,
  launch: Launch,
  patienceMs: number,
): Leading {
  const lockPath = layout.kernelLockPath(configuration);
  const path = rankStatusPath(lockPath, launch.key);
  let status: RankStatus = { state: "asking", token: null, generation: 0 };
  const say = (change: Partial<RankStatus>) => {
    status = { ...status, ...change };
    writeRankStatus(path, status);
  };
  const sayLost = () => {
    try {
      say({ state: "lost" });
    } catch (error) {
      // The other ranks see another claim's record soon enough.
      if (!(error instanceof EnvironmentError)) throw error;
    }
  };

  const outlastOthers = async () => {
    const endedAt = performance.now();
    const others = launch.size === null ? 0 : launch.size - 1;
    for (let elapsed = 0; elapsed < patienceMs; elapsed = performance.now() - endedAt) {
      const { joined, running } = readPresence(path);
      if (running === 0 && (joined >= others || elapsed > joinPatienceMs)) return;
      await sleep(pollMs);
    }
  };

  const leading = (lock: HeldLock): HeldLock =>
    changedLock(lock, {
      release: async (outcome) => {
        try {
          if (!lock.lost.aborted) {
            say({ state: "ended" });
            await outlastOthers();
          }
        } finally {
          await lock.release(outcome);
        }
      },
    });

  const announce = async (acquisition: Acquisition): Promise<Acquisition> => {
    if (acquisition.kind === "busy") {
      const again = async (attempt: Attempt, token?: string) => announce(await attempt.acquire(token));
      return { ...acquisition, wait: waitThen(acquisition.wait, again) };
    }
    const { lock } = acquisition;
    try {
      say({ state: "held", token: lock.token, generation: lock.generation });
    } catch (error) {
      await lock.release();
      throw error;
    }
    lock.lost.addEventListener("abort", sayLost, { once: true });
    return { kind: "held", lock: leading(lock) };
  };

  say({});
  removePresence(path);
  sweepRankStatuses(lockPath);
  return {
    store: { acquire: async (...request) => announce(await store.acquire(...request)) },
    conclude: () => {
      if (status.state !== "lost") say({ state: "over" });
      removePresence(path);
    },
  };
}
