import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { changeSettings } from "./controller.ts";
import { gridOf, names, siteOn, training } from "./submit-site.ts";

/** How many ran at once, at most: by lines `start TIME` and `end TIME` of one clock. */
function mostAtOnce(lines: readonly string[]): number {
  const steps = lines
    .map((line) => line.split(" "))
    .map(([what, time]) => ({ by: what === "start" ? 1 : -1, time: BigInt(time ?? "") }))
    .sort((a, b) => (a.time < b.time ? -1 : 1));
  let now = 0;
  return Math.max(...steps.map(({ by }) => (now += by)));
}

/** `submit` where a site's Slurm sets limits: each test is in a controller that was started anew with them. */
export function submitLimitsSuite(theCluster: () => Cluster): void {
  const startWith = (change: (conf: string) => string) => {
    let restore: (() => Promise<void>) | undefined;
    beforeAll(async () => {
      restore = await changeSettings(theCluster(), change);
    }, 90_000);
    afterAll(async () => {
      await restore?.();
    }, 90_000);
  };

  describe("submit where an array has four elements at most, and a partition a time limit", () => {
    startWith(
      (conf) =>
        `${conf}MaxArraySize=5\nEnforcePartLimits=ALL\nPartitionName=short Nodes=node01,node02 MaxTime=10 State=UP\n`,
    );

    test("arrays are split, each part named, and --max-running holds for all of them together", async () => {
      const cluster = theCluster();
      const site = await siteOn(cluster, "split", gridOf(10));
      const note = (what: string) => `echo "${what} $(date +%s%N)" >>${site.root}/times-$TRAINLOCK_STRATEGY;`;
      const { stdout } = await site.submit(
        ["--max-running", "4"],
        training(site.root, `${note("start")} sleep 0.6; ${note("end")}`),
      );
      expect(stdout.replaceAll(/job \d+/g, "job N")).toBe(
        "submitted 4 rows as job N, part 1 of 3\nsubmitted 4 rows as job N, part 2 of 3\nsubmitted 2 rows as job N, part 3 of 3\n",
      );
      const jobs = [...stdout.matchAll(/job (\d+)/g)].map(([, job]) => job);
      await until("all are done", async () => ((await site.counts()).done === 10 ? true : null), 90_000);
      const ran = (await site.lines("ran")).map((line) => line.split(" "));
      expect(ran.map(([name]) => name).sort()).toEqual(names(10).sort());
      expect(jobs.map((job) => ran.filter(([, by]) => by === job).length)).toEqual([4, 4, 2]);
      const times = await Promise.all(names(10).map((name) => site.lines(`times-${name}`)));
      expect(mostAtOnce(times.flat())).toBeGreaterThan(1);
      expect(mostAtOnce(times.flat())).toBeLessThanOrEqual(4);
    }, 180_000);

    test("what a partition refuses is repeated in Slurm's words, with what went in before it", async () => {
      const cluster = theCluster();
      const long =
        '- { strategy: [long1, long2], dataset: D, model: m, submit: ["--partition=short", "--time=24:00:00"] }\n';
      const site = await siteOn(cluster, "refused", `${gridOf(5)}${long}`);
      const refused = await site.submit(["--with", "--hold"], training(site.root));
      expect(refused.exitCode).toBe(3);
      expect(refused.stdout.match(/^submitted \d rows? as job \d+, part \d of 3 \(--hold\)$/gm)).toHaveLength(2);
      expect(refused.stderr).toMatch(/sbatch refused: sbatch: error: .*Requested time limit is invalid/);
      expect(refused.stderr).toContain("5 rows went in before it, in 2 of 3 arrays");
      expect(await site.counts()).toEqual({ queued: 5, free: 2 });
      const jobs = [...refused.stdout.matchAll(/job (\d+)/g)].map(([, job = ""]) => job);
      await cluster.ask("login", ["scancel", ...jobs]);
    }, 120_000);
  });

  describe("submit where a user may submit twice an hour", () => {
    startWith((conf) =>
      `${conf}MaxArraySize=5\nJobSubmitPlugins=throttle\n`.replace(
        /^SchedulerParameters=.*$/m,
        "$&,jobs_per_user_per_hour=2",
      ),
    );

    test("the third part is refused in Slurm's words; the first two are trained, and the rest later", async () => {
      const cluster = theCluster();
      const site = await siteOn(cluster, "throttled", gridOf(9));
      const refused = await site.submit([], training(site.root));
      expect(refused.exitCode).toBe(3);
      expect(refused.stdout.match(/^submitted 4 rows as job \d+, part [12] of 3$/gm)).toHaveLength(2);
      expect(refused.stderr).toMatch(
        /sbatch refused: sbatch: error: Reached jobs per hour limit\n.*: Job violates accounting\/QOS policy/,
      );
      expect(refused.stderr).toContain("8 rows went in before it, in 2 of 3 arrays");
      await until("eight are done", async () => ((await site.counts()).done === 8 ? true : null), 90_000);
      expect(await site.counts()).toEqual({ done: 8, free: 1 });
      expect((await site.work([], training(site.root))).exitCode).toBe(0);
      expect((await site.lines("ran")).map((line) => line.split(" ")[0]).sort()).toEqual(names(9).sort());
    }, 180_000);
  });
}
