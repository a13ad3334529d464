import type { Configuration } from "../model/configuration.ts";
import type { Evidence, Verdict } from "../model/evidence.ts";
import type { Holder } from "../model/holder.ts";
import type { OwnerRecord } from "../model/owner-record.ts";
import type { RunEnds } from "../model/run-ends.ts";
import type { ProcessIdentity } from "../system/processes/process-tree.ts";

/** Somebody else has the lock. This is a value, not an error: contention is the normal case. */
export interface Busy {
  readonly holder: Holder;
  readonly verdict: Verdict;
  readonly evidence: readonly Evidence[];
  /** The file, or the key of a remote store, that is taken. */
  readonly path: string;
  /** How long to wait although nobody asked for it, milliseconds: the lock may be this job's own by then. */
  readonly patienceMs?: number;
}

/** What is known of the runs before a claim. */
export interface EarlierRuns {
  /** How those ended that said so. */
  readonly ends: RunEnds;
  /** Generation of the last of them; null: there was none, or it is not known. */
  readonly generation: number | null;
  /** The one before this claim, if it was killed with its wrapper and has said nothing; null: it was not. */
  readonly killed: OwnerRecord | null;
  /** What showed that the earlier holder is gone; empty if there was none. */
  readonly evidence: readonly Evidence[];
}

/** What a claim ends with. */
export interface ClaimOutcome {
  readonly exitCode: number | null;
  /** With the run under this claim; absent: there was none, or none that counts. */
  readonly ends?: RunEnds;
}

/** A lock that is held, until it is released or lost. */
export interface HeldLock {
  /** 128 random bits in hex, this claim's own name. */
  readonly token: string;
  /** Grows with every claim of a configuration: the fencing token for whoever writes checkpoints. */
  readonly generation: number;
  /**
   * Where the lock is kept, by which another process can ask about it: the absolute path of the kernel lock file, or a remote
   * store's address and key (`etcd://host:2379/trainlock/locks/NAME`).
   */
  readonly address: string;
  /** Aborts once, with a LockLostError, when another has the lock or that cannot be excluded any more. Never after release. */
  readonly lost: AbortSignal;
  /** What a command must inherit to keep the lock alive without its wrapper; empty where a store has no such thing. */
  readonly descriptors: readonly number[];
  readonly earlier: EarlierRuns;
  /** Set for a run inside the run that made the claim: records and notes are that one's. */
  readonly isInner?: true;
  /** Writes the process that the lock protects into the owner record, and the ends of the runs before it where they are given. */
  recordChild(pid: number, ends?: RunEnds): Promise<void>;
  /** What the process tree of the command is now, where somebody else may have to end it (a keeper). */
  recordTree?(processes: readonly ProcessIdentity[]): void;
  /** Checks that the lock still is this claim's, and heals what can be healed. Runs by itself on a schedule, too. */
  check(): Promise<void>;
  /** Where another process reports a loss: resolves once all that it has reported until now has been received. */
  catchUp?(): Promise<void>;
  /** Asks whether the lock is held at this moment. Throws a LockLostError when it is not, or when that cannot be known. */
  assertHeld(): Promise<void>;
  /** Of these, the first is the lock itself: what a process must inherit to get the lock by `handOver`. */
  readonly handedOver?: readonly number[];
  /**
   * Ends the claim, as `release` does, and leaves the lock to the process that has inherited `handedOver`: nobody comes between.
   * Absent where a lock cannot be handed over.
   */
  handOver?(): Promise<void>;
  /** A lock that is a successor's by now is left alone. A second call does nothing. */
  release(outcome?: ClaimOutcome): Promise<void>;
}

/** A held lock with another address or another way to release it; all else is passed on as it is at each moment. */
export function changedLock(lock: HeldLock, change: Partial<Pick<HeldLock, "address" | "release">>): HeldLock {
  const { recordTree, catchUp } = lock;
  return {
    get token() {
      return lock.token;
    },
    // A lease that was claimed again has another.
    get generation() {
      return lock.generation;
    },
    get lost() {
      return lock.lost;
    },
    get descriptors() {
      return lock.descriptors;
    },
    address: change.address ?? lock.address,
    earlier: lock.earlier,
    ...(lock.isInner === undefined ? {} : { isInner: lock.isInner }),
    recordChild: (pid, ends) => lock.recordChild(pid, ends),
    ...(recordTree === undefined ? {} : { recordTree: (processes) => recordTree.call(lock, processes) }),
    check: () => lock.check(),
    ...(catchUp === undefined ? {} : { catchUp: () => catchUp.call(lock) }),
    assertHeld: () => lock.assertHeld(),
    release: change.release ?? ((outcome) => lock.release(outcome)),
  };
}

export type Acquisition = { readonly kind: "held"; readonly lock: HeldLock } | BusyAnswer;

export interface BusyAnswer {
  readonly kind: "busy";
  readonly busy: Busy;
  /** Null: waiting does not help. */
  readonly wait: Wait | null;
}

/**
 * Waits, without using the processor, until another attempt is worth while: the lock was released, something has changed, or
 * it was long enough ago. Returns that attempt; null when the signal aborted first, and then nothing is kept of the wait.
 */
export type Wait = (signal: AbortSignal) => Promise<Attempt | null>;

/** The attempt that a wait has led to. It may keep a place at the head of a queue: make it, or give it up. */
export interface Attempt {
  /** Uses the place up, whatever comes out. With `token` as the claim's name, where one is given. */
  acquire(token?: string): Promise<Acquisition>;
  /** Lets the next one in the queue go first. */
  giveUp(): void;
}

/** Any place that can keep locks: the shared file system, or a remote store with leases. */
export interface LockStore {
  /**
   * One attempt, with `token` as the claim's name where one is given. Throws an EnvironmentError when the store itself is
   * broken; never reports that as busy.
   */
  acquire(configuration: Configuration, command: readonly string[] | null, token?: string): Promise<Acquisition>;
}

/** The same wait, of which `then` makes the attempt: for a store around another one. */
export function waitThen(
  wait: Wait | null,
  then: (attempt: Attempt, token?: string) => Promise<Acquisition>,
): Wait | null {
  if (wait === null) return null;
  return async (signal) => {
    const attempt = await wait(signal);
    return attempt && { acquire: (token) => then(attempt, token), giveUp: () => attempt.giveUp() };
  };
}

/** An attempt at a store that keeps no place in a queue. */
export function attemptAt(store: LockStore, configuration: Configuration, command: readonly string[] | null): Attempt {
  return { acquire: (token) => store.acquire(configuration, command, token), giveUp: () => undefined };
}
