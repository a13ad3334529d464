import { join } from "node:path";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import type { Cluster } from "./cluster.ts";
import { hold, type Job, type ListedLock, occupyPid, tool } from "./jobs.ts";

export interface Held {
  readonly own: Job;
  readonly bash: Job;
  readonly python: Job;
  readonly ofOwn: TestConfiguration;
  readonly root: string;
}

/** On node01 a `trainlock run`, on node02 a bash job and a Python one, and everywhere somebody else with their PIDs. */
export async function holdThree(cluster: Cluster, name: string): Promise<Held> {
  const root = join(cluster.shared, name);
  await cluster.ask("login", ["mkdir", "-p", root]);
  const [ofOwn, ofBash, ofPython] = ["own", "bash", "python"].map((strategy) =>
    configuration(root, strategy, "B", "m"),
  );
  if (!ofOwn || !ofBash || !ofPython) throw new Error("three configurations");
  const own = await hold(cluster, "trainlock", ofOwn, "node01");
  const bash = await hold(cluster, "noclobber", ofBash, "node02");
  const python = await hold(cluster, "python", ofPython, "node02");
  for (const { pid, node } of [own, bash, python]) {
    for (const host of ["login", "node01", "node02"] as const) if (host !== node) await occupyPid(cluster, host, pid);
  }
  return { own, bash, python, ofOwn, root };
}

export const labels = (locks: readonly ListedLock[]) =>
  locks.map(({ kind, name, label }) => `${kind} ${name}: ${label}`);
export const cleared = (cluster: Cluster, root: string) =>
  cluster.ask("login", [tool, "clear", "--root", root, "--no-dry-run"]);
