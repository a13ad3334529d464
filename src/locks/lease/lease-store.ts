import type { EtcdAddress } from "../../etcd/address.ts";
import type { Entry, EtcdClient } from "../../etcd/client.ts";
import type { Configuration } from "../../model/configuration.ts";
import { EnvironmentError } from "../../model/errors.ts";
import type { Examine } from "../../model/examine.ts";
import type { Layout } from "../../model/layout.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import { randomHex } from "../../system/random.ts";
import { holderFrom, newOwnerRecord, nobodyKnown } from "../claim-record.ts";
import type { Busy, LockStore } from "../lock.ts";
import { refuseCollision } from "../name-collision.ts";
import { awaitKey } from "./await-key.ts";
import { pendingLock } from "./held-lease.ts";
import { claimKeys, keyAddress, leaseFacts } from "./lease-facts.ts";
import type { LeaseSession } from "./lease-session.ts";

export interface LeaseStoreOptions {
  readonly layout: Layout;
  readonly client: EtcdClient;
  readonly address: EtcdAddress;
  /** The lease that claims are made under. */
  readonly session: LeaseSession;
  readonly examine: Examine;
  readonly onNote: (text: string) => void;
}

/** Claims as keys of an etcd cluster, each under a lease that a keeper renews. See docs/etcd.md. */
export function leaseStore({ layout, client, address, session, examine, onNote }: LeaseStoreOptions): LockStore {
  /** The revision at which a lock was seen taken: a wait goes on from there. */
  const seen = new WeakMap<Busy, number>();

  const busyWith = async (entry: Entry, revision: number, configuration: Configuration): Promise<Busy | null> => {
    const facts = leaseFacts(address, layout, entry);
    if (facts.record !== null) refuseCollision(facts.record, configuration, facts.path);
    const { verdict, evidence } = await examine(facts);
    if (verdict.status === "stale") return null;
    const busy = { holder: holderFrom(facts.record, null) ?? nobodyKnown, verdict, evidence, path: facts.path };
    seen.set(busy, revision);
    return busy;
  };

  const acquire: LockStore["acquire"] = async (configuration, command, _turn, token = randomHex(16)) => {
    const keys = claimKeys(address, layout, configuration);
    const weightsDir = layout.weightsDir(configuration);
    const record = newOwnerRecord({ configuration, token, generation: 0, weightsDir, lockInode: null, command });
    const place = { key: keys.lock, address: keyAddress(address, keys.lock) };
    const lock = pendingLock({ token, record, ...place, client, onNote });
    const wish = { ...keys, token, value: serializeOwnerRecord(record) };
    // What a stale claim leaves behind is deleted, and the name is anybody's again: who comes first has it.
    for (let round = 0; round < 3; round += 1) {
      const made = await session.claim(wish, lock.events);
      if (made.kind === "made") return { kind: "held", lock: lock.hold(session, made.revision) };
      if (made.by === null) continue;
      const busy = await busyWith(made.by, made.revision, configuration);
      if (busy !== null) return { kind: "busy", busy };
      await deleteUnchanged(client, made.by);
    }
    throw new EnvironmentError(`${keys.lock} changes faster than it can be claimed`, {
      code: "ERR_UNSTABLE_KEY",
      hint: "look who else writes there: etcdctl watch",
    });
  };

  return {
    acquire,
    awaitTurn: async (configuration, busy, signal) => {
      const { lock } = claimKeys(address, layout, configuration);
      await awaitKey(client, lock, seen.get(busy) ?? null, signal);
      return null;
    },
  };
}

/** Deletes what was judged, and nothing that has come since. False: it has changed. */
export async function deleteUnchanged(client: EtcdClient, { key, modRevision }: Entry): Promise<boolean> {
  const result = await client.transact({ if: [{ key, modRevision }], then: [{ delete: key }], elseGet: [] });
  return result.done;
}
