import type { Configuration } from "../../src/model/configuration.ts";
import { noRunEnds } from "../../src/model/run-ends.ts";
import type { Acquisition, HeldLock, LockStore } from "../../src/stores/store.ts";

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
      return "holderPid" in taken ? busyWith(taken.holderPid) : { kind: "held", lock: heldLock(taken) };
    },
  };
}

function heldLock({ generation = 0, lost = new AbortController().signal, check, release }: SimpleLock): HeldLock {
  return {
    token: "",
    generation,
    address: "",
    lost,
    descriptors: [],
    earlier: { ends: noRunEnds, killed: null, evidence: [] },
    recordChild: async () => {},
    check: async () => check?.(),
    assertHeld: async () => {},
    release: async () => release(),
  };
}

function busyWith(pid: number | null): Acquisition {
  const nothing = { hostname: null, user: null, jobId: null, acquiredAt: null, generation: null };
  const holder = { ...nothing, pid, command: null, living: null };
  const verdict = { status: "active", label: "ACTIVE" } as const;
  return { kind: "busy", busy: { holder, verdict, evidence: [], path: "" }, wait: null };
}
