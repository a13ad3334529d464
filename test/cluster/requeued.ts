import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { commandOf, hold, killOn, list, tool, untilState } from "./jobs.ts";

/** What a requeued job does about its own last run, and others about a job that waits to run again. */
export function requeuedSuite(theCluster: () => Cluster): void {
  async function firstRun(name: string, settings = "") {
    const cluster = theCluster();
    const root = join(cluster.shared, name);
    await cluster.ask("login", ["sh", "-c", `mkdir -p ${root} && printf '%s' '${settings}' >${root}/trainlock.yaml`]);
    const of = configuration(root, "own", "B", "m");
    const job = await hold(cluster, "trainlock", of, "node01");
    const command = await commandOf(cluster, of, "node01");
    /** As the scheduler starts the job again, on another host. */
    const secondRun = (options: readonly string[] = []) =>
      cluster.on("login", [tool, "run", ...of.args, ...options, "--", "sh", "-c", "echo $TRAINLOCK_GENERATION"], {
        env: { SLURM_JOB_ID: job.id, SLURM_RESTART_COUNT: "1" },
      });
    const end = async () => {
      await cluster.ask("login", ["scancel", job.id]);
      await killOn(cluster, "node01", job.pid, command);
    };
    return { cluster, of, root, job, command, secondRun, end };
  }

  describe("a requeued job asks the host of its last run", () => {
    test("which lives there: locked", async () => {
      const { secondRun, end } = await firstRun("requeued-alive");
      expect((await secondRun()).exitCode).toBe(75);
      await end();
    }, 60_000);

    test("of which nothing is left there: it takes over, with the next generation", async () => {
      const { cluster, job, command, secondRun } = await firstRun("requeued-gone");
      await killOn(cluster, "node01", job.pid, command);
      expect(await secondRun()).toMatchObject({ exitCode: 0, stdout: "2\n" });
    }, 60_000);

    test("which does not answer: it waits, and is locked out; once its scheduler has given that host up, it takes over", async () => {
      const { cluster, of, job, secondRun, end } = await firstRun("requeued-cut", "requeue_wait: 2s");
      cluster.plug("node01", "down");
      try {
        const turned = await secondRun(["--ssh-timeout", "1s", "--scheduler", "none"]);
        expect(turned).toMatchObject({ exitCode: 75, stdout: "", stderr: expect.stringContaining("Waiting for ") });
        await cluster.ask("login", ["scontrol", "update", "nodename=node01", "state=down", "reason=cut"]);
        await untilState(cluster, job.id, ["NODE_FAIL"]);
        // Somebody has written there a moment ago: it may be the last run.
        await cluster.ask("login", ["touch", join(of.weightsDir, "iter_1.pth")]);
        expect((await secondRun(["--ssh-timeout", "1s"])).exitCode).toBe(75);
        await cluster.ask("login", ["touch", "-d", "5 minutes ago", join(of.weightsDir, "iter_1.pth")]);
        expect(await secondRun(["--ssh-timeout", "1s"])).toMatchObject({ exitCode: 0, stdout: "2\n" });
      } finally {
        cluster.plug("node01", "up");
        // It may have come back by itself.
        await cluster.on("login", ["scontrol", "update", "nodename=node01", "state=resume"]);
        await end();
      }
      await until(
        "node01 is back",
        async () =>
          (await cluster.ask("login", ["sinfo", "-h", "-n", "node01", "-o", "%T"])).startsWith("idle") ? true : null,
        45_000,
      );
    }, 120_000);
  });

  test("the lock of a job that waits to run again is unknown to all others", async () => {
    const { cluster, root, of, job, end } = await firstRun("requeued-waits");
    await cluster.ask("login", ["scontrol", "update", `jobid=${job.id}`, "requeue=1"]);
    await cluster.ask("login", ["scontrol", "requeuehold", job.id]);
    await untilState(cluster, job.id, ["PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT"]);
    const labels = (await list(cluster, root)).map(({ label }) => label);
    // It is deaf to SIGTERM, so that its locks are left behind.
    expect(labels).toEqual(["UNKNOWN - job requeued", "UNKNOWN - job requeued"]);
    const other = await cluster.on("login", [tool, "run", ...of.args, "--", "true"]);
    expect(other).toMatchObject({ exitCode: 75, stderr: expect.stringContaining("UNKNOWN - job requeued") });
    await end();
  }, 60_000);
}
