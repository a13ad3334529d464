import { afterAll, expect } from "vitest";
import { type Cluster, startCluster } from "../etcd/cluster.ts";
import { type Network, startNetwork } from "./network.ts";
import { type Prober, startProber } from "./outages.ts";

/** What the scenes of a file share: a cluster of three members, and who asks it from each host of clients. */
export interface Stage {
  readonly cluster: Cluster;
  /** Null: all is on the loopback interface. */
  readonly network: Network | null;
  /** What a program's name is put behind, for each host of clients. */
  readonly clients: readonly (readonly string[])[];
  readonly probers: readonly Prober[];
  /** Each scene's holder has a way of its own to the members. */
  readonly relayed: boolean;
  /** How many scenes are played. */
  scenes: number;
}

interface StageOptions {
  readonly networks?: boolean;
  readonly relayed?: boolean;
}

/** Starts at the first call, gives the same one later, and is gone with the file. */
export function sharedStage(options: StageOptions = {}): () => Promise<Stage> {
  let shared: Promise<Stage> | undefined;
  afterAll(async () => {
    const stage = await shared?.catch(() => undefined);
    await Promise.all(stage?.probers.map((prober) => prober.stop()) ?? []);
    await stage?.cluster.stop();
    expect(await stage?.network?.stop()).toEqual(stage?.network ? [] : undefined);
  });
  return () => {
    shared ??= begin(options);
    return shared;
  };
}

async function begin({ networks = false, relayed = false }: StageOptions): Promise<Stage> {
  const network = networks ? await startNetwork() : null;
  try {
    const cluster = await startCluster({ members: 3, ...(network === null ? {} : { hosts: network.hosts }) });
    const clients = network?.clients ?? [[]];
    const probers = clients.map((inside) => startProber(inside, cluster.endpoints));
    return { cluster, network, clients, probers, relayed, scenes: 0 };
  } catch (error) {
    await network?.stop();
    throw error;
  }
}
