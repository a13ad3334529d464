import type { Configuration } from "../model/configuration.ts";
import { type Acquisition, type Attempt, attemptAt, type HeldLock, type LockStore, waitThen } from "./store.ts";

/**
 * A remote store and the locks on the file system as one claim: the remote one first, so that only its holder touches files.
 * Whoever knows the files alone, old jobs too, is excluded and excludes. `wanted` says where there is any need for files.
 */
export function bothStores(
  remote: LockStore,
  files: LockStore,
  wanted: (configuration: Configuration) => boolean = () => true,
): LockStore {
  return {
    acquire: async (configuration, command) => {
      /** `waited`: the attempt at the files, where it was them that were waited for. */
      const claimBoth = async (atRemote: Promise<Acquisition>, waited: Attempt | null): Promise<Acquisition> => {
        const first = await atRemote.catch((error: unknown) => {
          waited?.giveUp();
          throw error;
        });
        if (first.kind === "busy" || !wanted(configuration)) waited?.giveUp();
        if (first.kind === "busy")
          return { ...first, wait: waitThen(first.wait, (attempt) => claimBoth(attempt.acquire(), null)) };
        if (!wanted(configuration)) return first;
        const { lock } = first;
        try {
          const second = await (waited ?? attemptAt(files, configuration, command)).acquire(lock.token);
          if (second.kind === "held") return { kind: "held", lock: bothLocks(lock, second.lock) };
          await lock.release();
          const again = (attempt: Attempt) => claimBoth(remote.acquire(configuration, command), attempt);
          return { ...second, wait: waitThen(second.wait, again) };
        } catch (error) {
          await lock.release();
          throw error;
        }
      };
      return claimBoth(remote.acquire(configuration, command), null);
    },
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
    recordChild: async (pid) => {
      await Promise.all([remote.recordChild(pid), files.recordChild(pid)]);
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
