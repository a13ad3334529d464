import { afterAll, expect } from "vitest";
import { type Cluster, startCluster } from "../etcd/cluster.ts";
import { type Network, startNetwork } from "./network.ts";
import { type Prober, startProber } from "./outages.ts";
import { type Relays, startRelays } from "./relays.ts";

/** What the scenes of a file share: a cluster of three members, and who asks it from each host of clients. */
export interface Stage {
  readonly cluster: Cluster;
  /** Null: all is on the loopback interface. */
  readonly network: Network | null;
  /** What a program's name is put behind, for each host of clients. */
  readonly clients: readonly (readonly string[])[];
  readonly probers: readonly Prober[];
  /** Another way to the members. */
  readonly relays: Relays | null;
}

interface StageOptions {
  readonly networks?: boolean;
  readonly relays?: boolean;
}

/** Starts at the first call, gives the same one later, and is gone with the file. */
export function sharedStage(options: StageOptions = {}): () => Promise<Stage> {
  let shared: Promise<Stage> | undefined;
  afterAll(async () => {
    const stage = await shared?.catch(() => undefined);
    await Promise.all(stage?.probers.map((prober) => prober.stop()) ?? []);
    await stage?.relays?.stop();
    await stage?.cluster.stop();
    expect(await stage?.network?.stop()).toEqual(stage?.network ? [] : undefined);
  });
  return () => {
    shared ??= begin(options);
    return shared;
  };
}

async function begin({ networks = false, relays: relayed = false }: StageOptions): Promise<Stage> {
  const network = networks ? await startNetwork() : null;
  try {
    const cluster = await startCluster({ members: 3, ...(network === null ? {} : { hosts: network.hosts }) });
    const clients = network?.clients ?? [[]];
    const relays = relayed ? await startRelays(cluster.endpoints) : null;
    const ways = [...clients.map((inside) => ({ inside, endpoints: cluster.endpoints }))];
    if (relays !== null) ways.push({ inside: [], endpoints: relays.endpoints });
    const probers = ways.map(({ inside, endpoints }) => startProber(inside, endpoints));
    return { cluster, network, clients, probers, relays };
  } catch (error) {
    await network?.stop();
    throw error;
  }
}
