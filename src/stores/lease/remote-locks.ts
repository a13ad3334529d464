import type { EtcdAddress } from "../../etcd/address.ts";
import type { EtcdClient } from "../../etcd/client.ts";
import type { Configuration } from "../../model/configuration.ts";
import type { MayClear } from "../../model/examine.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import type { Layout } from "../../site/layout.ts";
import { claimKeys, keyAddress, leaseFacts, locksPrefix } from "./lease-facts.ts";
import { deleteUnchanged } from "./lease-store.ts";

/** The locks of a remote store, to look at and to clear. */
export interface RemoteLocks {
  /** All of them, as of one moment. */
  all(): Promise<LockFacts[]>;
  of(configuration: Configuration): Promise<LockFacts | null>;
  /** Judges a lock once more, and deletes it if it still may go and has not changed since. False: it is kept. */
  clear(path: string, mayClear: MayClear): Promise<boolean>;
  close(): void;
}

export function remoteLocks(client: EtcdClient, address: EtcdAddress, layout: Layout): RemoteLocks {
  const factsAt = async (key: string) => {
    const { entry } = await client.get(key);
    return entry === null ? null : { entry, facts: leaseFacts(address, layout, entry) };
  };
  return {
    all: async () => {
      const found: LockFacts[] = [];
      for await (const page of client.list(locksPrefix(address.prefix)))
        found.push(...page.map((entry) => leaseFacts(address, layout, entry)));
      return found;
    },
    of: async (configuration) => (await factsAt(claimKeys(address, layout, configuration).lock))?.facts ?? null,
    clear: async (path, mayClear) => {
      const found = await factsAt(path.slice(keyAddress(address, "").length));
      if (found === null || !(await mayClear(found.facts))) return false;
      return deleteUnchanged(client, found.entry);
    },
    close: () => client.close(),
  };
}
