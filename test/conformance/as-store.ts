import type { Configuration } from "../../src/model/configuration.ts";
import { nobodyKnown } from "../../src/stores/record-holder.ts";
import type { Acquisition, HeldLock, LockStore } from "../../src/stores/store.ts";
import { heldLock } from "../support/held-lock.ts";

/** A lock that is less than a store's: it may have no generation and signal no loss. */
export interface SimpleLock {
  readonly generation?: number;
  readonly lost?: AbortSignal;
  check?(): Promise<void>;
  /** May be called twice. */
  release(): void | Promise<void>;
}

export interface Refused {
  readonly holderPid: number | null;
}

/** A store of such locks, with the parts that the suite looks at. */
export function asStore(take: (configuration: Configuration) => Promise<SimpleLock | Refused>): LockStore {
  return {
    acquire: async (configuration) => {
      const taken = await take(configuration);
      return "holderPid" in taken ? busyWith(taken.holderPid) : { kind: "held", lock: storeLock(taken) };
    },
  };
}

function storeLock({ generation = 0, lost, check, release }: SimpleLock): HeldLock {
  return heldLock({
    generation,
    ...(lost === undefined ? {} : { lost }),
    check: async () => check?.(),
    release: async () => release(),
  });
}

function busyWith(pid: number | null): Acquisition {
  const holder = { ...nobodyKnown, pid };
  const verdict = { status: "active", label: "ACTIVE" } as const;
  return { kind: "busy", busy: { holder, verdict, evidence: [], path: "" }, wait: null };
}
