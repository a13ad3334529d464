import type { EtcdAccess, EtcdAddress } from "./address.ts";
import * as answers from "./answers.ts";
import { base64, randomLeaseId } from "./bytes.ts";
import type { CallLimits, EtcdClient } from "./client.ts";
import { type Endpoints, endpointsOf } from "./endpoints.ts";
import { codes, hasCode } from "./failures.ts";
import { type Gateway, gateway, largest } from "./gateway.ts";
import { listKeys } from "./list.ts";
import { transactionBody, transactionResult } from "./transaction.ts";
import { watchKey } from "./watch.ts";

/**
 * A client of the cluster at an address. Nothing is sent, and no file read, before the first call. Every call may be carried out
 * twice where a connection breaks (see {@link Endpoints}): a lease is granted once all the same, and whoever claims a key
 * recognises its own claim by what it wrote; a lease that the first attempt revoked is not there for the second. `token` of a
 * login, `clusterId` of the cluster: what another process of ours has found out.
 */
export function openEtcd(
  address: EtcdAddress,
  access: EtcdAccess,
  token: string | null = null,
  clusterId: string | null = null,
): EtcdClient {
  return clientOf(gateway(address, access, token, clusterId), address.endpoints);
}

function clientOf(etcd: Gateway, addresses: readonly string[]): EtcdClient {
  const endpoints: Endpoints = endpointsOf(addresses);
  const keepAlive = async (lease: string, limits?: CallLimits) => {
    try {
      const answer = answers.keepAliveAnswer;
      const { result } = await etcd.call(endpoints, { path: "/lease/keepalive", body: { ID: lease }, answer, limits });
      return result.TTL;
    } catch (error) {
      if (hasCode(error, codes.leaseNotFound)) return 0;
      throw error;
    }
  };
  return {
    endpoints: addresses,
    loginToken: () => etcd.login.token(),
    clusterId: () => etcd.cluster.id(),
    inOrder: () => endpoints.inOrder(),
    requireOneCluster: async () => {
      if (addresses.length > 1) await etcd.cluster.compare();
    },
    at: (endpoint) => clientOf(etcd, [endpoint]),
    async grant(ttlSeconds, limits) {
      const lease = randomLeaseId();
      const body = { ID: lease, TTL: String(ttlSeconds) };
      try {
        const { grantAnswer: answer } = answers;
        const granted = await etcd.call(endpoints, { path: "/lease/grant", body, answer, limits });
        return { lease: granted.ID, ttlSeconds: granted.TTL };
      } catch (error) {
        // An attempt whose connection broke has granted it.
        if (hasCode(error, codes.leaseExists)) return { lease, ttlSeconds: await keepAlive(lease, limits) };
        throw error;
      }
    },
    async revoke(lease, limits) {
      try {
        const { revokeAnswer: answer } = answers;
        await etcd.call(endpoints, { path: "/lease/revoke", body: { ID: lease }, answer, limits });
        return true;
      } catch (error) {
        if (hasCode(error, codes.leaseNotFound)) return false;
        throw error;
      }
    },
    keepAlive,
    transact(transaction, limits) {
      const [body, answer] = [transactionBody(transaction), transactionResult(transaction)];
      return etcd.call(endpoints, { path: "/kv/txn", body, answer, largestBytes: largest.withValues, limits });
    },
    async get(key, limits) {
      const { rangeAnswer: answer } = answers;
      const call = { path: "/kv/range", body: { key: base64(key) }, answer, largestBytes: largest.withValues, limits };
      const { header, kvs } = await etcd.call(endpoints, call);
      const [found] = kvs;
      return { entry: found === undefined ? null : answers.entryFrom(found), revision: header.revision };
    },
    list: (prefix, limits) => listKeys(etcd, endpoints, prefix, limits),
    watch: (key, fromRevision, signal) => watchKey(etcd, endpoints, key, fromRevision, signal),
    async status(endpoint, limits) {
      let clockOffsetMs: number | null = null;
      const onClock = (offsetMs: number) => {
        clockOffsetMs = offsetMs;
      };
      const { statusAnswer: answer } = answers;
      const call = { path: "/maintenance/status", body: {}, answer, needsLeader: false, limits, onClock };
      const { header, version, leader, dbSize } = await etcd.call(endpointsOf([endpoint]), call);
      return { endpoint, version, memberId: header.member_id, leader, databaseBytes: dbSize, clockOffsetMs };
    },
    async alarms(limits) {
      const call = { path: "/maintenance/alarm", body: { action: "GET" }, answer: answers.alarmAnswer, limits };
      const { alarms } = await etcd.call(endpoints, call);
      return alarms.map(({ memberID, alarm }) => ({ memberId: memberID, kind: alarm }));
    },
    close: () => etcd.connections.closeIdle(),
  };
}
