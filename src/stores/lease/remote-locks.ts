import type { EtcdAddress } from "../../etcd/address.ts";
import type { Entry, EtcdClient } from "../../etcd/client.ts";
import type { Configuration } from "../../model/configuration.ts";
import type { MayClear } from "../../model/examine.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import { configurationOf, type RecordReading, recordIn } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { valuesInEnvironments } from "../../system/processes/process-table.ts";
import { lookForClaim, readTogether } from "./ends-note.ts";
import {
  claimKeys,
  endsKey,
  endsKeyOf,
  endsPrefix,
  keyAddress,
  keyIn,
  leaseFacts,
  locksPrefix,
} from "./lease-facts.ts";
import { deleteUnchanged } from "./lease-store.ts";
import { leftBehind } from "./left-behind.ts";

/** The keys that commands of this host were started under. */
function commandsKeys(): Set<string> {
  const keys = [...valuesInEnvironments("TRAINLOCK_LOCK")].map(keyIn);
  return new Set(keys.filter((key) => key !== null));
}

/** The locks of a remote store, to look at and to clear. */
export interface RemoteLocks {
  /** All of them, as of one moment. */
  all(): Promise<LockFacts[]>;
  of(configuration: Configuration): Promise<LockFacts | null>;
  /** Where the lock of a configuration is, as `path` of {@link LockFacts} names it. */
  pathOf(configuration: Configuration): string;
  /** The record of the last run of each of these, in their order. */
  records(configurations: readonly Configuration[]): Promise<RecordReading[]>;
  /** Whatever the store has a lock or the record of a run of. */
  known(): Promise<Configuration[]>;
  /** Judges a lock once more, and deletes it if it still may go and has not changed since. False: it is kept. */
  clear(path: string, mayClear: MayClear): Promise<boolean>;
  close(): void;
}

/** etcd takes no more requests in a transaction (`--max-txn-ops`, 128 by default). */
const keysAtOnce = 100;

export function remoteLocks(client: EtcdClient, address: EtcdAddress, layout: Layout): RemoteLocks {
  const factsAt = async (key: string) => {
    const { entry } = await client.get(key);
    return entry === null ? null : { entry, facts: leaseFacts(address, layout, entry) };
  };
  /** A name has no slash: what has one is a store's whose prefix begins with ours. */
  const isOwn = ({ key }: Entry) => !/^[^/]+\/.*\//s.test(key.slice(address.prefix.length + 1));
  return {
    all: async () => {
      const found: LockFacts[] = [];
      const unseen = commandsKeys();
      for await (const page of client.list(locksPrefix(address.prefix))) {
        found.push(...page.filter(isOwn).map((entry) => leaseFacts(address, layout, entry)));
        for (const { key } of page) unseen.delete(key);
      }
      for (const key of unseen) {
        const ends = endsKeyOf(address, key);
        const left = ends === null ? null : leftBehind(address, layout, key, (await client.get(ends)).entry);
        if (left !== null) found.push(left);
      }
      return found;
    },
    of: async (configuration) => {
      const { lock } = claimKeys(address, layout, configuration);
      const { entry, ends } = await lookForClaim(client, { lock, ends: endsKey(address, layout, configuration) });
      return entry === null ? leftBehind(address, layout, lock, ends) : leaseFacts(address, layout, entry);
    },
    pathOf: (configuration) => keyAddress(address, claimKeys(address, layout, configuration).lock),
    records: async (configurations) => {
      const keys = configurations.map((configuration) => endsKey(address, layout, configuration));
      const found: RecordReading[] = [];
      for (let at = 0; at < keys.length; at += keysAtOnce)
        for (const entry of await readTogether(client, keys.slice(at, at + keysAtOnce)))
          found.push(entry === null ? { kind: "none" } : parseOwnerRecord(entry.value));
      return found;
    },
    known: async () => {
      const found: Configuration[] = [];
      for (const prefix of [locksPrefix(address.prefix), endsPrefix(address.prefix)])
        for await (const page of client.list(prefix))
          for (const { value } of page.filter(isOwn)) {
            const record = recordIn(parseOwnerRecord(value));
            const configuration = record === null ? null : configurationOf(record);
            if (configuration !== null) found.push(configuration);
          }
      return found;
    },
    clear: async (path, mayClear) => {
      const found = await factsAt(path.slice(keyAddress(address, "").length));
      if (found === null || !(await mayClear(found.facts))) return false;
      return deleteUnchanged(client, found.entry);
    },
    close: () => client.close(),
  };
}
