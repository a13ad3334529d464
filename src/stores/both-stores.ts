import type { Configuration } from "../model/configuration.ts";
import type { Busy, HeldLock, LockStore } from "./store.ts";

/**
 * A remote store and the locks on the file system as one claim: the remote one first, so that only its holder touches files.
 * Whoever knows the files alone, old jobs too, is excluded and excludes. `wanted` says where there is any need for files.
 */
export function bothStores(
  remote: LockStore,
  files: LockStore,
  wanted: (configuration: Configuration) => boolean = () => true,
): LockStore {
  const busyFiles = new WeakSet<Busy>();
  return {
    acquire: async (configuration, command, turn) => {
      const first = await remote.acquire(configuration, command).catch((error: unknown) => {
        turn?.giveUp();
        throw error;
      });
      if (first.kind === "busy" || !wanted(configuration)) {
        turn?.giveUp();
        return first;
      }
      const { lock } = first;
      try {
        const second = await files.acquire(configuration, command, turn, lock.token);
        if (second.kind === "held") return { kind: "held", lock: bothLocks(lock, second.lock) };
        busyFiles.add(second.busy);
        await lock.release();
        return second;
      } catch (error) {
        await lock.release();
        throw error;
      }
    },
    awaitTurn: (configuration, busy, signal) =>
      (busyFiles.has(busy) ? files : remote).awaitTurn(configuration, busy, signal),
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
    noteChild: async (pid) => {
      await Promise.all([remote.noteChild(pid), files.noteChild(pid)]);
    },
    check: async () => {
      await Promise.all([remote.check(), files.check()]);
    },
    hear: async () => {
      await Promise.all([remote.hear?.(), files.hear?.()]);
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
