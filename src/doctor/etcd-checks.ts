import type { EtcdClient } from "../etcd/client.ts";
import { TrainlockError } from "../model/errors.ts";
import { fault, type Outcome, ok, warning } from "../model/finding.ts";
import { randomHex } from "../system/random.ts";

export interface ClusterToExamine {
  readonly client: EtcdClient;
  readonly prefix: string;
  readonly ttlMs: number;
  readonly timeoutMs: number;
}

type Tell = (check: string, subject: string, outcome: Outcome) => void;

const roundTrips = 9;
/** HTTP tells the time to a second, and a busy server may take one or two. */
const clockToleranceMs = 5000;

/** Finds out whether locks can be kept on an etcd cluster: each endpoint by itself, then a lease from its grant to its end. */
export async function examineCluster(
  { client, prefix, ttlMs, timeoutMs }: ClusterToExamine,
  tell: Tell,
): Promise<void> {
  let reached = 0;
  const ask = (endpoint: string) => client.status(endpoint, { timeoutMs }).catch(asFault);
  const [first = "", ...others] = client.endpoints;
  // Whoever answers first says which cluster is meant: let it be the one that calls begin with.
  const asked = [await ask(first), ...others.map(ask)];
  for (const [index, endpoint] of client.endpoints.entries()) {
    const status = await asked[index];
    if (status === undefined) continue;
    if ("level" in status) {
      tell("etcd endpoint", endpoint, status);
      continue;
    }
    reached += 1;
    const { version, leader, databaseBytes, clockOffsetMs } = status;
    const what = `etcd ${version}, ${(databaseBytes / 2 ** 20).toFixed(1)} MiB`;
    tell(
      "etcd endpoint",
      endpoint,
      leader === null
        ? fault(
            `${what}, and knows no leader`,
            "nothing can be locked through it",
            "see etcdctl endpoint status --cluster",
          )
        : ok(what),
    );
    if (clockOffsetMs !== null) tell("etcd clock", endpoint, clockOutcome(clockOffsetMs));
  }
  if (reached === 0) return;
  const store = client.endpoints.join(",");
  tell("etcd failover", store, failoverOutcome(reached, client.endpoints.length));
  tell("etcd alarms", store, await alarmsOutcome(client, timeoutMs).catch(asFault));
  tell("etcd latency", store, await latencyOutcome(client, prefix, ttlMs, timeoutMs).catch(asFault));
  tell("etcd lease", store, await leaseOutcome(client, prefix, ttlMs, timeoutMs).catch(asFault));
}

/** Leases go by clocks that nobody sets; certificates and the times in records do not. */
function clockOutcome(offsetMs: number): Outcome {
  const apart = Math.abs(offsetMs);
  if (apart <= clockToleranceMs) return ok("as this host's, within a few seconds");
  const found = `${Math.round(apart / 1000)} s ${offsetMs > 0 ? "ahead of" : "behind"} this host's`;
  const means = "leases are not affected; certificates may look expired, and times in records cannot be compared";
  return warning(found, means, "let both hosts ask a time server");
}

function failoverOutcome(reached: number, named: number): Outcome {
  if (named === 1) {
    const means = "when it is down for longer than a lease lasts, every job that runs is stopped";
    return warning("one endpoint", means, "name all members of the cluster in the address");
  }
  if (reached < named) return warning(`${reached} of ${named} endpoints answer`, "fewer members can take over");
  return ok(`${reached} endpoints`);
}

async function alarmsOutcome(client: EtcdClient, timeoutMs: number): Promise<Outcome> {
  const alarms = await client.alarms({ timeoutMs });
  if (alarms.length === 0) return ok("none");
  const kinds = [...new Set(alarms.map(({ kind }) => kind))].join(", ");
  const remedies = [
    ...(kinds.includes("CORRUPT") ? ["etcdctl endpoint hashkv --cluster, and add the member that differs anew"] : []),
    ...(kinds.includes("NOSPACE") ? ["etcdctl compact, defrag"] : []),
    "etcdctl alarm disarm",
  ];
  return fault(kinds, "etcd refuses to write: nothing can be locked", remedies.join(", "));
}

/** Linearizable reads: each is a round trip and a majority's word. */
async function latencyOutcome(client: EtcdClient, prefix: string, ttlMs: number, timeoutMs: number): Promise<Outcome> {
  const took: number[] = [];
  for (let round = 0; round < roundTrips; round += 1) {
    const before = performance.now();
    await client.get(`${prefix}/doctor`, { timeoutMs });
    took.push(performance.now() - before);
  }
  took.sort((a, b) => a - b);
  const median = took[Math.floor(roundTrips / 2)] ?? 0;
  const found = `${median.toFixed(1)} ms a round trip (median of ${roundTrips}, at most ${(took.at(-1) ?? 0).toFixed(1)} ms)`;
  if (median < ttlMs / 40) return ok(found);
  return warning(found, "leases are renewed late, and lost sooner in an outage", "a longer --ttl, or a nearer cluster");
}

async function leaseOutcome(client: EtcdClient, prefix: string, ttlMs: number, timeoutMs: number): Promise<Outcome> {
  const key = `${prefix}/locks/.doctor-${randomHex(8)}`;
  const limits = { timeoutMs };
  const { lease, ttlSeconds } = await client.grant(Math.ceil(ttlMs / 1000), limits);
  try {
    const put = [{ put: key, value: Buffer.from("trainlock doctor\n"), lease }];
    await client.transact({ if: [{ key, createRevision: 0 }], then: put, elseGet: [] }, limits);
    if ((await client.keepAlive(lease, limits)) <= 0) throw new Error("the lease was gone at once");
  } finally {
    await client.revoke(lease, limits);
  }
  const left = (await client.get(key, limits)).entry;
  if (left !== null) return fault("a key outlived its lease", "a lock would outlive its owner", "another etcd version");
  return ok(`granted for ${ttlSeconds} s, claimed under ${prefix}, renewed, and ended with its key`);
}

function asFault(error: unknown): Outcome {
  if (!(error instanceof TrainlockError)) throw error;
  return fault(error.message, "nothing can be locked there", error.hint ?? null);
}
