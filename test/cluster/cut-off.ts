import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { commandOf, hold, type Job, killOn, list, submit, tool, untilState } from "./jobs.ts";
import { cleared, holdThree, labels } from "./three-holders.ts";

export function cutOffSuite(theCluster: () => Cluster): void {
  describe("jobs on a node that was cut off", () => {
    test("are unknown, and stale once it answers and they are gone", async () => {
      const cluster = theCluster();
      const { own, bash, python, ofOwn, root } = await holdThree(cluster, "cut");
      const cancelled = await hold(cluster, "python", configuration(root, "cancelled", "B", "m"), "node02");
      const other = await submit(cluster, "sleep 3600", ["--nodelist=node01"]);
      cluster.plug("node02", "down");
      try {
        // Cancelled beyond the cut: nobody sees it end.
        await cluster.ask("login", ["scancel", cancelled.id]);
        const down = ["scontrol", "update", "nodename=node02", "state=down", "reason=cut"];
        await cluster.ask("login", down);
        for (const { id } of [bash, python]) await untilState(cluster, id, ["NODE_FAIL"]);
        await untilState(cluster, cancelled.id, ["CANCELLED"]);
        const cut = await list(cluster, root, ["--ssh-timeout", "1s"]);
        expect(labels(cut)).toEqual([
          "file bash/b/m: UNKNOWN - remote process",
          "file own/b/m: ACTIVE",
          "fcntl cancelled/b/m: UNKNOWN - remote process",
          "fcntl own/b/m: ACTIVE",
          "fcntl python/b/m: UNKNOWN - remote process",
        ]);
        const said = cut.flatMap(({ evidence }) => evidence.map(({ detail }) => detail)).join("\n");
        expect(said).toContain("is NODE_FAIL on node02, which is no proof of an end");
        expect(said).toContain("is CANCELLED with its node down on node02, which is no proof of an end");
        expect(said).toMatch(/node02 (does not answer|is out of reach|did not answer)/);
        expect(await cleared(cluster, root)).toMatch(/^No stale locks found/);
      } finally {
        cluster.plug("node02", "up");
      }
      // slurmd ends what the controller has given up; what it leaves is ended here.
      await killOn(cluster, "node02", bash.pid, python.pid, cancelled.pid);
      const isGone = async ({ pid }: Job) =>
        (await cluster.on("node02", ["test", "-d", `/proc/${pid}`])).exitCode !== 0;
      await until("all are gone", async () =>
        (await isGone(bash)) && (await isGone(python)) && (await isGone(cancelled)) ? true : null,
      );
      const back = await list(cluster, root);
      expect(labels(back)).toEqual([
        "file bash/b/m: STALE - PID not running",
        "file own/b/m: ACTIVE",
        // Once its node has come back to the scheduler, too, the end of its job counts.
        expect.stringMatching(/^fcntl cancelled\/b\/m: STALE - (PID not running|job ended)$/),
        "fcntl own/b/m: ACTIVE",
        "fcntl python/b/m: STALE - PID not running",
      ]);
      expect(await cleared(cluster, root)).toMatch(/^Cleared 3 stale locks:/);
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
