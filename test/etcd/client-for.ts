import { onTestFinished } from "vitest";
import type { EtcdAccess } from "../../src/etcd/address.ts";
import type { CallLimits, EtcdClient } from "../../src/etcd/client.ts";
import { openEtcd } from "../../src/etcd/open-etcd.ts";
import { type Cluster, noAccess } from "./cluster.ts";

/** A client of a cluster, closed with the test. */
export function clientOf(cluster: Cluster, access: Partial<EtcdAccess> = {}): EtcdClient {
  return clientAt(cluster.endpoints, cluster.address.secure, { ...cluster.access, ...access });
}

/** A client of whatever listens there. */
export function clientAt(endpoints: readonly string[], secure = false, access: EtcdAccess = noAccess): EtcdClient {
  const etcd = openEtcd({ secure, endpoints, prefix: "/trainlock" }, access);
  onTestFinished(() => etcd.close());
  return etcd;
}

/** Puts a key without a lease; the revision of that. */
export async function put(etcd: EtcdClient, key: string, value: string | Buffer = "x"): Promise<number> {
  const bytes = Buffer.from(value as string);
  const { revision } = await etcd.transact({ if: [], then: [{ put: key, value: bytes, lease: null }], elseGet: [] });
  return revision;
}

/** The keys that begin with a prefix, as listed. */
export async function listed(etcd: EtcdClient, prefix: string, limits?: CallLimits): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of etcd.list(prefix, limits)) keys.push(...page.map(({ key }) => key));
  return keys;
}
