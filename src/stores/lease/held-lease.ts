import type { EtcdClient } from "../../etcd/client.ts";
import { LockLostError } from "../../model/errors.ts";
import type { OwnerRecord } from "../../model/owner-record.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import { bootMs } from "../../system/clock/boot-time.ts";
import { withChild } from "../claim-record.ts";
import type { HeldLock } from "../store.ts";
import type { ClaimEvents, LeaseSession } from "./lease-session.ts";
import { standingOfLease } from "./lease-status.ts";

export interface LeasedClaim {
  readonly token: string;
  /** Null: another process of ours has made the claim, and gives it back. */
  readonly record: OwnerRecord | null;
  /** The lock's key. */
  readonly key: string;
  /** The key with its store. */
  readonly address: string;
  readonly client: EtcdClient;
  /** For what its user should know: claimed again, not given back. */
  readonly onNote: (text: string) => void;
}

export interface PendingLock {
  readonly events: ClaimEvents;
  /** The lock, once the claim is made. */
  hold(session: LeaseSession, revision: number): HeldLock;
}

/** A claim whose keeper looks after it: passes on what the keeper says, and asks the store itself where it matters. */
export function pendingLock({ token, record, key, address, client, onNote }: LeasedClaim): PendingLock {
  const lost = new AbortController();
  let revision = 0;
  let released = false;
  const events: ClaimEvents = {
    reclaimed: (anew) => {
      onNote(`its key ${key} was gone, nobody had claimed it since, and it is claimed again: generation ${anew}`);
      revision = anew;
    },
    lost: (why, stopByMs) => {
      if (released) return;
      lost.abort(new LockLostError(why, { stopWithinMs: Math.max(0, stopByMs - bootMs()) }));
    },
  };
  const hold = (session: LeaseSession, made: number): HeldLock => {
    revision = made;
    return {
      token,
      get generation() {
        return revision;
      },
      address,
      lost: lost.signal,
      descriptors: [],
      recordChild: async (pid) => {
        const value = record === null ? null : serializeOwnerRecord(withChild(record, pid));
        session.guard(token, pid, value);
      },
      check: async () => {
        if (!released && !lost.signal.aborted) await session.renew();
      },
      catchUp: () => session.hear(),
      assertHeld: async () => {
        if (released) throw new LockLostError("the lock has been released");
        lost.signal.throwIfAborted();
        const standing = await standingOfLease(client, { key, token, generation: null, configuration: null });
        lost.signal.throwIfAborted();
        if (standing.held !== true) throw new LockLostError(`whether the lock is held: ${standing.why}`);
      },
      release: async () => {
        if (released) return;
        released = true;
        if (record === null) return session.leave(token);
        const { fault, left } = await session.remove(token, lost.signal.aborted);
        if (fault !== null) onNote(`the lock could not be given back, and ends with its lease: ${fault}`);
        if (left.length > 0)
          onNote(`processes of the command go on (${left.join(", ")}): the lock is kept until they have ended`);
      },
    };
  };
  return { events, hold };
}
