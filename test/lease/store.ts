import { mkdirSync } from "node:fs";
import { onTestFinished } from "vitest";
import type { EtcdClient } from "../../src/etcd/client.ts";
import { clientOf } from "../etcd/client-for.ts";
import { sharedCluster } from "../etcd/cluster.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

export const etcdTest = requiresPrograms("etcd", "etcdctl");

/** One configuration of a site whose locks are on etcd. */
export interface StoreSite extends TestConfiguration {
  readonly env: Readonly<Record<string, string>>;
  readonly etcd: EtcdClient;
  readonly lockKey: string;
  /** Another root that keeps its locks in the same place: another cluster's. */
  elsewhere(): Promise<TestConfiguration>;
  makeWeightsDir(): void;
  etcdctl(...args: readonly string[]): Promise<string>;
}

const cluster = sharedCluster();
let sites = 0;

/** A site of its own in the test file's etcd. */
export async function storeSite(): Promise<StoreSite> {
  const started = await cluster();
  const of = configuration(await temporaryRoot());
  sites += 1;
  const prefix = `/trainlock/site-${sites}`;
  const etcd = clientOf(started);
  onTestFinished(async () => {
    await started.etcdctl("del", "--prefix", prefix);
  });
  return {
    ...of,
    env: { TRAINLOCK_STORE: started.url.replace("/trainlock", prefix), ...started.env },
    etcd,
    lockKey: `${prefix}/locks/baseline_idd_aw_deeplabv3plus_r50`,
    elsewhere: async () => configuration(await temporaryRoot()),
    makeWeightsDir: () => void mkdirSync(of.weightsDir, { recursive: true }),
    etcdctl: (...args) => started.etcdctl(...args),
  };
}
