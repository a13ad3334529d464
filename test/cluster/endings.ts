import { describe, expect, test } from "vitest";
import type { Cluster } from "./cluster.ts";
import { commandOf, killOn, list, submit, untilState } from "./jobs.ts";
import { cleared, holdThree, labels } from "./three-holders.ts";

const all = (label: string) => [
  `file bash/b/m: ${label}`,
  `file own/b/m: ${label}`,
  `fcntl own/b/m: ${label}`,
  `fcntl python/b/m: ${label}`,
];

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
  });
}
