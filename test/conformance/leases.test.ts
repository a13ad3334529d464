import { openEtcd } from "../../src/etcd/open-etcd.ts";
import { makeExamine } from "../../src/evidence/examine.ts";
import { defaultLayout } from "../../src/site/layout.ts";
import { bothStores } from "../../src/stores/both-stores.ts";
import { claimStore } from "../../src/stores/folder/claim.ts";
import { claimKeys } from "../../src/stores/lease/lease-facts.ts";
import { LeaseSession } from "../../src/stores/lease/lease-session.ts";
import { leaseStore } from "../../src/stores/lease/lease-store.ts";
import { remoteLocks } from "../../src/stores/lease/remote-locks.ts";
import { sharedCluster } from "../etcd/cluster.ts";
import { keeperCommand } from "../support/keeper.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { conformance, type StoreUnderTest } from "./conformance.ts";

const cluster = sharedCluster({ members: 3, tls: true, auth: true });
const traits = {
  namesHolder: true,
  signalsLoss: true,
  hasGenerations: true,
  countsByOne: false,
  testWith: requiresPrograms("etcd", "etcdctl", "openssl"),
};

async function underTest(root: string, withFiles: boolean): Promise<StoreUnderTest> {
  const { address: shared, access } = await cluster();
  // Each test has the cluster to itself, by a prefix of its own.
  const address = { ...shared, prefix: `${shared.prefix}${root}` };
  const client = openEtcd(address, access);
  const layout = defaultLayout(root);
  const session = new LeaseSession({ address, access, ttlMs: 5000, guard: null, keeperCommand });
  const leases = leaseStore({ layout, client, address, session, examine: makeExamine(), onNote: () => {} });
  const locks = remoteLocks(client, address, layout);
  return {
    store: withFiles ? bothStores(leases, claimStore(layout, makeExamine())) : leases,
    isShown: async (configuration) => {
      const name = layout.displayName(configuration);
      return (await locks.all()).some((lock) => lock.name === name);
    },
    // What a person at etcdctl does, and whoever is quicker than the keeper.
    takeAway: async (configuration) => {
      const { lock, last } = claimKeys(address, layout, configuration);
      const { lease } = await client.grant(60);
      const steal = () =>
        client.transact({
          if: [{ key: lock, createRevision: 0 }],
          then: [
            { put: lock, value: Buffer.from("another's"), lease },
            { put: last, value: Buffer.from("another's"), lease: null },
          ],
          elseGet: [],
        });
      do await client.transact({ if: [], then: [{ delete: lock }], elseGet: [] });
      while (!(await steal()).done);
      return {
        stillHas: async () => (await client.get(lock)).entry?.value.toString() === "another's",
        giveBack: async () => void (await client.revoke(lease)),
      };
    },
  };
}

conformance("lease on etcd", traits, (root) => underTest(root, false));
conformance("lease on etcd, with the file system's locks", traits, (root) => underTest(root, true));
