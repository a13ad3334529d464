import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import {
  commandOf,
  hold,
  type Job,
  killOn,
  type ListedLock,
  list,
  occupyPid,
  submit,
  tool,
  untilState,
} from "./jobs.ts";

interface Held {
  readonly own: Job;
  readonly bash: Job;
  readonly python: Job;
  readonly ofOwn: TestConfiguration;
  readonly root: string;
}

/** On node01 a `trainlock run`, on node02 a bash job and a Python one, and everywhere somebody else with their PIDs. */
async function holdThree(cluster: Cluster, name: string): Promise<Held> {
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

const labels = (locks: readonly ListedLock[]) => locks.map(({ kind, name, label }) => `${kind} ${name}: ${label}`);
const all = (label: string) => [
  `file bash/b/m: ${label}`,
  `file own/b/m: ${label}`,
  `fcntl own/b/m: ${label}`,
  `fcntl python/b/m: ${label}`,
];
const cleared = (cluster: Cluster, root: string) =>
  cluster.ask("login", [tool, "clear", "--root", root, "--no-dry-run"]);

export function endingsSuite(theCluster: () => Cluster): void {
  describe("three jobs that hold in three ways", () => {
    test("are active, with job and host; ended by scancel they are stale, and cleared", async () => {
      const cluster = theCluster();
      const { own, bash, python, root } = await holdThree(cluster, "scancel");
      // The bash job's user goes on running something, so that there is somebody to ask.
      const other = await submit(cluster, "sleep 3600", ["--nodelist=node01"]);
      const held = await list(cluster, root);
      expect(labels(held)).toEqual(all("ACTIVE"));
      const where = Object.fromEntries(
        held.map(({ name, holder }) => [name, `${holder?.jobId} on ${holder?.hostname}`]),
      );
      expect(where["own/b/m"]).toBe(`${own.id} on node01`);
      expect(where["python/b/m"]).toBe(`${python.id} on node02`);
      expect(where["bash/b/m"]).toMatch(/ on node02$/);
      expect(await cleared(cluster, root)).toMatch(/^No stale locks found/);

      await cluster.ask("login", ["scancel", own.id, bash.id, python.id]);
      for (const { id } of [own, bash, python]) await untilState(cluster, id, ["CANCELLED"]);

      const ended = await list(cluster, root);
      expect(ended.map(({ status }) => status)).toEqual(["stale", "stale", "stale", "stale"]);
      expect(ended.find(({ name }) => name === "own/b/m")?.label).toBe("STALE - job ended");
      expect(ended.find(({ name }) => name === "bash/b/m")?.label).toBe("STALE - PID not running");
      expect(await cleared(cluster, root)).toMatch(
        /^Cleared 4 stale locks:[\s\S]*\n {4}dead {4}slurm: Slurm: job \d+ is CANCELLED/,
      );
      expect(await list(cluster, root)).toEqual([]);
      await cluster.ask("login", ["scancel", other]);
    }, 90_000);

    test("ended by kill -9 of all their processes they are stale; the one that lives on stays", async () => {
      const cluster = theCluster();
      const { own, bash, python, ofOwn, root } = await holdThree(cluster, "killed");
      const command = await commandOf(cluster, ofOwn, "node01");
      await killOn(cluster, "node02", bash.pid);
      // A wrapper alone is not the end: its command trains on.
      await killOn(cluster, "node01", own.pid);
      const half = await list(cluster, root);
      expect(half.find(({ name }) => name === "own/b/m")).toMatchObject({ label: "ACTIVE" });
      expect(half.find(({ name }) => name === "bash/b/m")).toMatchObject({ label: "STALE - PID not running" });
      expect(half.find(({ name }) => name === "python/b/m")).toMatchObject({ label: "ACTIVE" });

      await killOn(cluster, "node01", command);
      for (const { id } of [own, bash]) await untilState(cluster, id, ["FAILED", "COMPLETED", "CANCELLED"]);
      expect(await cleared(cluster, root)).toMatch(/^Cleared 3 stale locks:[\s\S]*Kept 1 lock: 1 active/);
      expect(labels(await list(cluster, root))).toEqual(["fcntl python/b/m: ACTIVE"]);

      await killOn(cluster, "node02", python.pid);
      await untilState(cluster, python.id, ["FAILED", "CANCELLED"]);
      expect(await cleared(cluster, root)).toMatch(/^Cleared 1 stale lock:/);
      expect(await list(cluster, root)).toEqual([]);
    }, 90_000);

    test("on a node that was cut off they are unknown, and stale once it answers and they are gone", async () => {
      const cluster = theCluster();
      const { own, bash, python, ofOwn, root } = await holdThree(cluster, "cut");
      const other = await submit(cluster, "sleep 3600", ["--nodelist=node01"]);
      cluster.plug("node02", "down");
      try {
        const down = ["scontrol", "update", "nodename=node02", "state=down", "reason=cut"];
        await cluster.ask("login", down);
        for (const { id } of [bash, python]) await untilState(cluster, id, ["NODE_FAIL"]);
        const cut = await list(cluster, root, ["--ssh-timeout", "1s"]);
        expect(labels(cut)).toEqual([
          "file bash/b/m: UNKNOWN - remote process",
          "file own/b/m: ACTIVE",
          "fcntl own/b/m: ACTIVE",
          "fcntl python/b/m: UNKNOWN - remote process",
        ]);
        const said = cut.flatMap(({ evidence }) => evidence.map(({ detail }) => detail)).join("\n");
        expect(said).toContain("is NODE_FAIL on node02, which is no proof of an end");
        expect(said).toMatch(/node02 (does not answer|is out of reach|did not answer)/);
        expect(await cleared(cluster, root)).toMatch(/^No stale locks found/);
      } finally {
        cluster.plug("node02", "up");
      }
      // slurmd ends what the controller has given up; what it leaves is ended here.
      await killOn(cluster, "node02", bash.pid, python.pid);
      const isGone = async ({ pid }: Job) =>
        (await cluster.on("node02", ["test", "-d", `/proc/${pid}`])).exitCode !== 0;
      await until("both are gone", async () => ((await isGone(bash)) && (await isGone(python)) ? true : null));
      const back = await list(cluster, root);
      expect(labels(back)).toEqual([
        "file bash/b/m: STALE - PID not running",
        "file own/b/m: ACTIVE",
        "fcntl own/b/m: ACTIVE",
        "fcntl python/b/m: STALE - PID not running",
      ]);
      expect(await cleared(cluster, root)).toMatch(/^Cleared 2 stale locks:/);
      expect(labels(await list(cluster, root))).toEqual(["file own/b/m: ACTIVE", "fcntl own/b/m: ACTIVE"]);
      // A run elsewhere is turned away by the living holder; once that is dead, the proof from its host lets the run take over.
      const run = () => cluster.on("login", [tool, "run", ...ofOwn.args, "--", "echo", "trained"]);
      expect(await run()).toMatchObject({ exitCode: 75 });
      const command = await commandOf(cluster, ofOwn, "node01");
      await killOn(cluster, "node01", own.pid, command);
      await untilState(cluster, own.id, ["FAILED", "CANCELLED"]);
      expect(await run()).toMatchObject({ exitCode: 0, stdout: "trained\n" });
      await cluster.on("login", ["scontrol", "update", "nodename=node02", "state=resume"]);
      await cluster.ask("login", ["scancel", other]);
    }, 90_000);
  });
}
