import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { killOn, list, submit, tool, untilState } from "./jobs.ts";

const patienceMs = 200_000;

/** `run` in the hands of a scheduler. */
export function runningSuite(theCluster: () => Cluster): void {
  const read = async (path: string) => (await theCluster().on("login", ["cat", path])).stdout;
  const status = (of: TestConfiguration) =>
    until("the status", async () => JSON.parse((await read(join(of.root, "status.json"))) || "null"), patienceMs);
  const prepared = async (name: string) => {
    const of = configuration(join(theCluster().shared, name), "s", "B", "m");
    await theCluster().ask("login", ["mkdir", "-p", of.root]);
    return of;
  };
  const isFree = async (of: TestConfiguration) =>
    (await theCluster().on("login", [tool, "check", ...of.args])).exitCode === 0;
  const script = (of: TestConfiguration, options: string, command: string) =>
    `exec ${tool} run ${of.args.join(" ")} --status ${of.root}/status.json ${options} -- ${command}`;
  const held = (of: TestConfiguration) =>
    until("the job holds", async () => (await read(of.marker)) || null, patienceMs);

  describe("run in a job", () => {
    // Slurm knows no limit of less than a minute: it passes beside the other tests.
    let limited: TestConfiguration;
    beforeAll(async () => {
      limited = await prepared("limit");
      await submit(theCluster(), script(limited, "", "sleep 1000"), ["--time=1"]);
    });

    test("srun -n 4 --ranks job: one claim, four tasks on two nodes; turned away together", async () => {
      const of = await prepared("ranks");
      const training = `'echo $SLURM_PROCID $TRAINLOCK_GENERATION >${of.root}/rank-$SLURM_PROCID; sleep 1'`;
      const step = `srun -n 4 -N 2 ${tool} run ${of.args.join(" ")} --ranks job -- sh -c ${training}`;
      const id = await submit(theCluster(), `${step}; echo $? >${of.root}/code`, ["-N", "2", "-n", "4"]);
      await untilState(theCluster(), id, ["COMPLETED", "FAILED"]);
      const ranks = await Promise.all([0, 1, 2, 3].map((rank) => read(`${of.root}/rank-${rank}`)));
      expect(ranks).toEqual(["0 1\n", "1 1\n", "2 1\n", "3 1\n"]);
      expect(await read(`${of.root}/code`)).toBe("0\n");
      expect(await isFree(of)).toBe(true);

      const holder = await submit(theCluster(), script(of, "", "sleep 1000"));
      await held(of);
      const turned = await submit(theCluster(), `${step}; echo $? >${of.root}/code`, ["-N", "2", "-n", "4"]);
      await untilState(theCluster(), turned, ["COMPLETED", "FAILED"]);
      expect(await read(`${of.root}/code`)).toBe("75\n");
      await theCluster().ask("login", ["scancel", holder]);
      expect(await status(of)).toMatchObject({ reason: "ended", signal: "SIGTERM", exitCode: 143 });
      expect(await isFree(of)).toBe(true);
    }, 240_000);

    test("a task on another host of its job keeps the lock, and that host is asked before anything is called dead", async () => {
      const of = await prepared("tasks");
      const options = ["-N", "2", "-n", "2", "--nodelist=node01,node02"];
      const id = await submit(theCluster(), `${tool} run ${of.args.join(" ")} -- sleep 1000; sleep 1000`, options);
      const record = await until("the job's record", async () => {
        const text = await read(of.markerRecord);
        return /"child_pid": \d/.test(text) ? JSON.parse(text) : null;
      });
      const { token, child_pid: child, scheduler } = record.trainlock;
      expect(scheduler).toMatchObject({ cluster: "trainlock", other_hosts: ["node02"] });
      const carried = [`TRAINLOCK_TOKEN=${token}`, `SLURM_JOB_ID=${id}`];
      // As a launcher that went the same way has left it.
      const left = `echo $$ >${of.root}/task; exec env ${carried.join(" ")} sleep 1000`;
      theCluster().start("node02", ["sh", "-c", left]);
      const task = await until("the task", async () => Number(await read(`${of.root}/task`)) || null);
      await killOn(theCluster(), "node01", record.pid, child);
      const check = async () => (await theCluster().on("node01", [tool, "check", ...of.args])).exitCode;
      await until("the task is found", async () => ((await check()) === 1 ? true : null));
      const [lock] = await list(theCluster(), of.root, ["--file-only"]);
      expect(lock).toMatchObject({ label: "ACTIVE", holder: { living: { hostname: "node02" } } });
      await killOn(theCluster(), "node02", task);
      await until("the end is known", async () => ((await check()) === 0 ? true : null), 30_000);
      await theCluster().ask("login", ["scancel", id]);
    }, 120_000);

    test("requeued: the next run of the job goes on with the next generation", async () => {
      const of = await prepared("requeue");
      const training = `sh -c 'echo $TRAINLOCK_GENERATION $SLURM_RESTART_COUNT >>${of.root}/runs; [ -n "$SLURM_RESTART_COUNT" ] || exec sleep 1000'`;
      const id = await submit(theCluster(), script(of, "", training), ["--requeue"]);
      await held(of);
      await until("its first run", async () => (await read(`${of.root}/runs`)) || null);
      await theCluster().ask("login", ["scontrol", "requeue", id]);
      const runs = await until(
        "its second run",
        async () => /\n.*\n/.exec(await read(`${of.root}/runs`))?.input ?? null,
        patienceMs,
      );
      expect(runs).toBe("1\n2 1\n");
    }, 240_000);

    test("at the time limit the lock is given back", async () => {
      const of = limited;
      expect(await status(of)).toMatchObject({ reason: "ended", signal: "SIGTERM" });
      const { ends } = JSON.parse(await read(of.markerRecord)).trainlock;
      expect(ends).toMatchObject({ last_end: "interrupted", last_exit: 143, attempts: 0, interruptions: 1 });
      expect(await isFree(of)).toBe(true);
    }, 240_000);
  });
}
