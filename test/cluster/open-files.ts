import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { killOn, list, submit, tool, untilState } from "./jobs.ts";

/** What a process of a node has open in a weights dir, asked for by ssh. */
export function openFilesSuite(theCluster: () => Cluster): void {
  /** A job that makes a marker as old scripts do, starts something that outlives it, and is killed. */
  async function afterAJob(name: string, script: (dir: string) => string) {
    const cluster = theCluster();
    const of = configuration(join(cluster.shared, name), "bash", "B", "m");
    await cluster.ask("login", ["mkdir", "-p", of.weightsDir]);
    const pid = join(of.root, "pid");
    const left = `setsid sh -c '${script(of.weightsDir)}' >/dev/null 2>&1 & echo $! >${pid}`;
    const id = await submit(cluster, `${left}; sleep 0.5; kill -9 $$`, ["--nodelist=node02"]);
    await untilState(cluster, id, ["FAILED", "CANCELLED", "COMPLETED"]);
    const process = await until(
      "its process",
      async () => Number((await cluster.on("login", ["cat", pid])).stdout) || null,
    );
    return { cluster, of, process };
  }
  const tried = async (cluster: Cluster, args: readonly string[]) =>
    (await cluster.on("login", [tool, "run", ...args, "--", "true"])).exitCode;

  describe("on the node of a job that has ended", () => {
    test("a process of its owner that writes into the weights dir keeps the lock, and is named", async () => {
      const { cluster, of, process } = await afterAJob(
        "writes-on",
        (dir) => `echo 999999 >${dir}/.training_lock; exec 7>>${dir}/train.log; exec sleep 3000`,
      );
      const [lock] = await list(cluster, of.root);
      const living = { pid: process, hostname: "node02", command: ["sleep", "3000"] };
      expect(lock).toMatchObject({ label: "ACTIVE", holder: { living } });
      expect(await tried(cluster, of.args)).toBe(75);
      await killOn(cluster, "node02", process);
      expect((await list(cluster, of.root))[0]).toMatchObject({ label: "STALE - PID not running" });
      expect(await tried(cluster, of.args)).toBe(0);
    }, 60_000);

    test("a reader is no sign of life", async () => {
      const { cluster, of, process } = await afterAJob(
        "reads-on",
        (dir) => `echo 999999 >${dir}/.training_lock; echo 1 >${dir}/log; exec 7<${dir}/log; exec sleep 3000`,
      );
      expect((await list(cluster, of.root))[0]).toMatchObject({ label: "STALE - PID not running" });
      await killOn(cluster, "node02", process);
    }, 60_000);

    test("an old empty marker is unknown while its writer has it open there, and stale afterwards", async () => {
      const { cluster, of, process } = await afterAJob(
        "stopped-writer",
        (dir) =>
          `exec 7>${dir}/.training_lock; touch -d "90 seconds ago" ${dir}/.training_lock; kill -STOP $$; sleep 3000`,
      );
      expect((await list(cluster, of.root))[0]).toMatchObject({ status: "unknown" });
      expect(await tried(cluster, of.args)).toBe(75);
      await killOn(cluster, "node02", process);
      await until("the marker is stale", async () =>
        (await list(cluster, of.root))[0]?.label === "STALE - no PID" ? true : null,
      );
    }, 60_000);
  });
}
