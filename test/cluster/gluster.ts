import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect } from "vitest";
import { finish } from "../support/running-process.ts";
import { type Cluster, clusterIsMissing, startCluster } from "./cluster.ts";

const script = fileURLToPath(new URL("gluster.sh", import.meta.url));

/** Why no cluster with a network file system can be started here; null: one can. */
export function glusterIsMissing(): string | null {
  const isThere = ["/usr/sbin/glusterd", "/sbin/mount.glusterfs"].every((path) => existsSync(path));
  return clusterIsMissing() ?? (isThere ? null : "glusterfs-server, glusterfs-client");
}

/** Mounts a GlusterFS on all hosts, at `gluster` in the cluster's folder. It goes with the cluster. */
export async function mountGluster({ folder }: Cluster): Promise<void> {
  const { exitCode, stdout, stderr } = await finish("bash", [script, folder], { timeoutMs: 60_000 });
  if (exitCode !== 0) throw new Error(`no GlusterFS: ${stdout}${stderr}`);
}

/** A cluster with a GlusterFS for the tests of a file or of a block. They fail where it cannot be started. */
export function sharedGlusterCluster(): () => Cluster {
  let cluster: Cluster | undefined;
  beforeAll(async () => {
    const missing = glusterIsMissing();
    if (missing !== null) throw new Error(`missing here: ${missing}`);
    cluster = await startCluster();
    await mountGluster(cluster);
  }, 120_000);
  afterAll(async () => {
    expect(await cluster?.stop()).toEqual([]);
  }, 30_000);
  return () => {
    if (cluster === undefined) throw new Error("no cluster");
    return cluster;
  };
}
