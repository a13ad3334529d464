import type { EtcdAddress } from "../../etcd/address.ts";
import type { Entry, EtcdClient } from "../../etcd/client.ts";
import type { Configuration } from "../../model/configuration.ts";
import { EnvironmentError } from "../../model/errors.ts";
import type { Evidence } from "../../model/evidence.ts";
import type { Examine } from "../../model/examine.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { sleepUnlessAborted } from "../../system/clock/sleep.ts";
import type { ProcessIdentity } from "../../system/processes/process-tree.ts";
import { randomHex } from "../../system/random.ts";
import { newOwnerRecord, recordedCommand, refuseCollision } from "../claim-record.ts";
import { noEarlierRuns } from "../earlier-runs.ts";
import { holderFrom, nobodyKnown } from "../record-holder.ts";
import { attemptAt, type Busy, type HeldLock, type LockStore, type Wait } from "../store.ts";
import { awaitKey } from "./await-key.ts";
import { EndsNote, lookForClaim, runsIn } from "./ends-note.ts";
import { HeldLease } from "./held-lease.ts";
import { claimKeys, endsKey, keyAddress, leaseFacts } from "./lease-facts.ts";
import type { LeaseClaims } from "./lease-session.ts";
import { endLeftBehind, leftBehind } from "./left-behind.ts";

export interface LeaseStoreOptions {
  readonly layout: Layout;
  readonly client: EtcdClient;
  readonly address: EtcdAddress;
  /** The lease that claims are made under. */
  readonly session: LeaseClaims;
  readonly examine: Examine;
  readonly onNote: (text: string) => void;
  /** What goes on here of a claim whose wrapper and keeper are gone is ended, by SIGKILL after so long; null: it is left alone. */
  readonly killLeftBehindAfterMs?: number | null;
  /** Who the claims are for; absent: this process. */
  readonly owner?: ProcessIdentity | undefined;
}

const lookAgainMs = 2000;

/** Claims as keys of an etcd cluster, each under a lease that a keeper renews. See docs/etcd.md. */
export function leaseStore(options: LeaseStoreOptions): LockStore {
  const { layout, client, address, session, examine, onNote, owner, killLeftBehindAfterMs = null } = options;
  const busyWith = async (facts: LockFacts, configuration: Configuration): Promise<Busy | null> => {
    if (facts.record !== null) refuseCollision(facts.record, configuration, facts.path);
    const { verdict, evidence } = await examine(facts);
    if (verdict.status === "stale") return null;
    return { holder: holderFrom(facts.record, null, evidence) ?? nobodyKnown, verdict, evidence, path: facts.path };
  };

  const acquire: LockStore["acquire"] = async (configuration, command, token = randomHex(16)) => {
    const keys = claimKeys(address, layout, configuration);
    const weightsDir = layout.weightsDir(configuration);
    const place = { key: keys.lock, address: keyAddress(address, keys.lock) };
    const ends = endsKey(address, layout, configuration);
    // Programs that use the library do not say how their trainings end.
    const counts = command !== null;
    const endsNote = counts ? new EndsNote(client, { ends, last: keys.last }, onNote) : null;
    const told = recordedCommand(layout.site, command);
    // The key of a stale claim is deleted. Then the first job to ask has the lock. If another was quicker, that is no
    // fault: it has made progress.
    for (let deleted = 0; deleted < 3; ) {
      // Looked at first: a claim that is refused needs neither lease nor keeper.
      const seen = await lookForClaim(client, { lock: keys.lock, ends });
      const { entry, revision: seenAt } = seen;
      if (entry !== null) {
        const busy = await busyWith(leaseFacts(address, layout, entry), configuration);
        if (busy !== null) return { kind: "busy", busy, wait: waitFrom(seenAt, configuration, command) };
        await deleteUnchanged(client, entry);
        deleted += 1;
      }
      const left = entry === null ? leftBehind(address, layout, keys.lock, seen.ends) : null;
      if (left !== null && (killLeftBehindAfterMs === null || !(await endLeftBehind(left, killLeftBehindAfterMs)))) {
        const busy = await busyWith(left, configuration);
        if (busy !== null) return { kind: "busy", busy, wait: waitForEnd(configuration, command) };
      }
      const before = runsIn(counts ? seen.ends : null, layout, configuration);
      const earlier = { ...before, evidence: before.killed === null ? [] : [leaseEnded(keys.lock)] };
      const record = newOwnerRecord({
        ...{ configuration, token, generation: 0, weightsDir, lockInode: null, command: told, earlier },
        ...(owner === undefined ? {} : { owner }),
      });
      const lock = new HeldLease({ token, record, earlier, endsNote, ...place, client, session, onNote });
      const claim = { ...keys, token, value: serializeOwnerRecord(record) };
      const revision = await session.claim(claim, lock.events);
      if (revision !== null) return { kind: "held", lock: lock.begin(revision) };
    }
    throw new EnvironmentError(`${keys.lock} changes faster than it can be claimed`, {
      code: "ERR_UNSTABLE_KEY",
      hint: "look who else writes there: etcdctl watch",
    });
  };

  /** `revision`: where the lock was seen taken. The wait goes on from there. */
  const waitFrom =
    (revision: number, configuration: Configuration, command: readonly string[] | null): Wait =>
    async (signal) => {
      await awaitKey(client, claimKeys(address, layout, configuration).lock, revision, signal);
      return signal.aborted ? null : attemptAt(store, configuration, command);
    };

  /** Nothing reports the end of processes that have no keeper. */
  const waitForEnd =
    (configuration: Configuration, command: readonly string[] | null): Wait =>
    async (signal) => {
      await sleepUnlessAborted(lookAgainMs, signal);
      return signal.aborted ? null : attemptAt(store, configuration, command);
    };

  const store: LockStore = { acquire };
  return store;
}

/**
 * Keeps a claim that another process of ours has made, as rank 0 of a launch for all: each of its holders renews the lease
 * and guards its own command. Null: it is not there any more.
 */
export async function joinClaim(
  { layout, client, address, session, onNote }: Omit<LeaseStoreOptions, "examine">,
  configuration: Configuration,
  token: string,
): Promise<HeldLock | null> {
  const keys = claimKeys(address, layout, configuration);
  const { entry } = await client.get(keys.lock);
  if (entry === null || entry.lease === null) return null;
  const reading = parseOwnerRecord(entry.value);
  if (reading.kind !== "record" || reading.record.trainlock?.token !== token) return null;
  const place = { key: keys.lock, address: keyAddress(address, keys.lock) };
  const ends = reading.record.trainlock?.ends ?? noEarlierRuns.ends;
  const earlier = { ...noEarlierRuns, ends };
  const lock = new HeldLease({ token, record: null, earlier, endsNote: null, ...place, client, session, onNote });
  const claim = { ...keys, token, value: entry.value, revision: entry.createRevision };
  const joined = await session.join(claim, entry.lease, lock.events);
  return joined ? lock.begin(entry.createRevision) : null;
}

/** Why a run that nobody closed is over: its key went with its lease, which is kept for as long as anything of it lives. */
function leaseEnded(key: string): Evidence {
  return { source: "lease", says: "dead", because: "lock not held", detail: `its lease has ended, and ${key} with it` };
}

/** Deletes what was judged, and nothing that has come since. False: it has changed. */
export async function deleteUnchanged(client: EtcdClient, { key, modRevision }: Entry): Promise<boolean> {
  const result = await client.transact({ if: [{ key, modRevision }], then: [{ delete: key }], elseGet: [] });
  return result.done;
}
