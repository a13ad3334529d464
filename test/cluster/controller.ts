import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";

const patienceMs = 30_000;

const answers = async (cluster: Cluster) => (await cluster.on("login", ["scontrol", "ping"])).exitCode === 0;

export async function stopController(cluster: Cluster): Promise<void> {
  await cluster.ask("login", ["scontrol", "shutdown", "slurmctld"]);
  await until("the controller is down", async () => ((await answers(cluster)) ? null : true), patienceMs);
}

export async function startController(cluster: Cluster): Promise<void> {
  await cluster.ask("login", ["slurmctld"]);
  await until("the controller is up", async () => ((await answers(cluster)) ? true : null), patienceMs);
}

/** Starts the controller anew with a changed slurm.conf; resolves with what brings the old one back. */
export async function changeSettings(cluster: Cluster, change: (conf: string) => string): Promise<() => Promise<void>> {
  const path = join(cluster.folder, "slurm.conf");
  const before = readFileSync(path, "utf8");
  const startWith = async (text: string) => {
    await stopController(cluster);
    writeFileSync(path, text);
    await startController(cluster);
  };
  await startWith(change(before));
  return () => startWith(before);
}
