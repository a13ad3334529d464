import type { Configuration } from "../model/configuration.ts";
import { sleepUnlessAborted } from "../system/clock/sleep.ts";
import { storeBeforeFiles } from "./earlier-runs.ts";
import {
  type Acquisition,
  type Attempt,
  attemptAt,
  type Busy,
  type HeldLock,
  type LockStore,
  type Wait,
  waitThen,
} from "./store.ts";

/** What becomes of the files of a configuration whose key is held: they are locked too, left alone, or somebody has them. */
export type FilesPlan = "lock" | "leave" | Busy;

/** How often files are looked at that cannot be locked here, and that somebody else holds. */
const lookAgainMs = 5000;

/**
 * A remote store and the locks on the file system as one claim: the remote one first, so that only its holder touches files.
 * Whoever knows the files alone, old jobs too, is excluded and excludes. `plan` is asked once the remote lock is held.
 */
export function bothStores(
  remote: LockStore,
  files: LockStore,
  plan: (configuration: Configuration) => Promise<FilesPlan> = async () => "lock",
): LockStore {
  return {
    acquire: async (configuration, command) => {
      const begin = () => claimBoth(remote.acquire(configuration, command), null);
      /** `waited`: the attempt at the files, where it was them that were waited for. */
      const claimBoth = async (atRemote: Promise<Acquisition>, waited: Attempt | null): Promise<Acquisition> => {
        const first = await atRemote.catch((error: unknown) => {
          waited?.giveUp();
          throw error;
        });
        if (first.kind === "busy") {
          waited?.giveUp();
          return { ...first, wait: waitThen(first.wait, (attempt) => claimBoth(attempt.acquire(), null)) };
        }
        const { lock } = first;
        let left = waited;
        try {
          const planned = await plan(configuration);
          if (planned === "leave") return first;
          if (planned !== "lock") {
            await lock.release();
            return { kind: "busy", busy: planned, wait: lookAgain(begin) };
          }
          left = null;
          const second = await (waited ?? attemptAt(files, configuration, command)).acquire(lock.token);
          if (second.kind === "held") return { kind: "held", lock: bothLocks(lock, second.lock) };
          await lock.release();
          const again = (attempt: Attempt) => claimBoth(remote.acquire(configuration, command), attempt);
          return { ...second, wait: waitThen(second.wait, again) };
        } catch (error) {
          await lock.release();
          throw error;
        } finally {
          left?.giveUp();
        }
      };
      return begin();
    },
  };
}

/** Files that cannot be locked here have no queue to wait in. */
function lookAgain(acquire: () => Promise<Acquisition>): Wait {
  return async (signal) => {
    await sleepUnlessAborted(lookAgainMs, signal);
    return signal.aborted ? null : { acquire, giveUp: () => undefined };
  };
}

/** One claim to its holder. The generation is the remote store's, and so is the address: it reaches further. */
export function bothLocks(remote: HeldLock, files: HeldLock): HeldLock {
  return {
    token: remote.token,
    get generation() {
      return remote.generation;
    },
    address: remote.address,
    lost: AbortSignal.any([remote.lost, files.lost]),
    descriptors: [...files.descriptors, ...remote.descriptors],
    earlier: storeBeforeFiles(remote.earlier, files.earlier),
    recordChild: async (pid, ends) => {
      await Promise.all([remote.recordChild(pid, ends), files.recordChild(pid, ends)]);
    },
    recordTree: (processes) => {
      remote.recordTree?.(processes);
      files.recordTree?.(processes);
    },
    check: async () => {
      await Promise.all([remote.check(), files.check()]);
    },
    catchUp: async () => {
      await Promise.all([remote.catchUp?.(), files.catchUp?.()]);
    },
    assertHeld: async () => {
      await Promise.all([remote.assertHeld(), files.assertHeld()]);
    },
    // Who has the key next must not find the files taken.
    release: async (outcome) => {
      await files.release(outcome);
      await remote.release(outcome);
    },
  };
}
