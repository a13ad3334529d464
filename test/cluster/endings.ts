import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { commandOf, hold, killOn, list, nextPid, submit, tool, untilState } from "./jobs.ts";
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

      // Whatever number a dead job had, the questions to its host may have it next.
      for (const ahead of [1, 2, 3, 4, 5, 6, 7, 8]) {
        await nextPid(cluster, "node02", bash.pid - ahead);
        const asked = await list(cluster, root);
        expect(asked.find(({ name }) => name === "bash/b/m")).toMatchObject({ label: "STALE - PID not running" });
      }

      await killOn(cluster, "node01", command);
      for (const { id } of [own, bash]) await untilState(cluster, id, ["FAILED", "COMPLETED", "CANCELLED"]);
      expect(await cleared(cluster, root)).toMatch(/^Cleared 3 stale locks:[\s\S]*Kept 1 lock: 1 active/);
      expect(labels(await list(cluster, root))).toEqual(["fcntl python/b/m: ACTIVE"]);

      await killOn(cluster, "node02", python.pid);
      await untilState(cluster, python.id, ["FAILED", "CANCELLED"]);
      expect(await cleared(cluster, root)).toMatch(/^Cleared 1 stale lock:/);
      expect(await list(cluster, root)).toEqual([]);
    }, 90_000);

    const daemons = [
      ["of its tree", "setsid sleep 3000 &"],
      ["of its tree, with nothing in its environment", "setsid env -i sleep 3000 &"],
    ] as const;
    test.each(daemons)(
      "wrapper, command and job ended: a process %s on that host keeps the lock, and is named",
      async (_, start) => {
        const cluster = theCluster();
        const root = join(cluster.shared, `daemon-${start.length}`);
        const of = configuration(root, "own", "B", "m");
        await cluster.ask("login", ["mkdir", "-p", root]);
        const command = `${start} echo $! >${root}/daemon; exec sleep 3600`;
        const own = await hold(cluster, "trainlock", of, "node01", `sh -c '${command}'`);
        const daemon = await until("the daemon", async () => {
          const { stdout } = await cluster.on("login", ["cat", join(root, "daemon")]);
          const { stdout: noted } = await cluster.on("login", ["cat", join(of.weightsDir, ".training_lock.tree")]);
          return stdout !== "" && noted.includes(`:${stdout.trim()},`) ? Number(stdout) : null;
        });
        await killOn(cluster, "node01", own.pid, await commandOf(cluster, of, "node01"));
        await untilState(cluster, own.id, ["FAILED", "COMPLETED", "CANCELLED"]);
        const living = { pid: daemon, hostname: "node01", command: ["sleep", "3000"] };
        for (const lock of await list(cluster, root))
          expect(lock).toMatchObject({ label: "ACTIVE", holder: { living } });
        const second = await cluster.on("login", [tool, "run", ...of.args, "--", "true"]);
        expect(second).toMatchObject({ exitCode: 75, stderr: expect.stringContaining(`PID ${daemon} (sleep 3000)`) });
        await killOn(cluster, "node01", daemon);
        expect((await list(cluster, root)).map(({ status }) => status)).toEqual(["stale", "stale"]);
        expect((await cluster.on("login", [tool, "run", ...of.args, "--", "true"])).exitCode).toBe(0);
      },
      90_000,
    );
  });
}
