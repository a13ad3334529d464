import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { finish } from "../support/running-process.ts";
import { type Cluster, clusterIsMissing } from "./cluster.ts";

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
