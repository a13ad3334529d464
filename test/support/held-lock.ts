import { noEarlierRuns } from "../../src/stores/earlier-runs.ts";
import type { HeldLock } from "../../src/stores/store.ts";

const nothing = async () => undefined;

/** A lock of no store, that is held until the test says otherwise. */
export function heldLock(change: Partial<HeldLock> = {}): HeldLock {
  const lock: HeldLock = {
    token: "0".repeat(32),
    generation: 1,
    address: "nowhere",
    lost: new AbortController().signal,
    descriptors: [],
    earlier: noEarlierRuns,
    recordChild: nothing,
    check: nothing,
    assertHeld: nothing,
    release: nothing,
  };
  // Getters stay getters.
  return Object.defineProperties(lock, Object.getOwnPropertyDescriptors(change));
}
