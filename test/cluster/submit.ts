import { describe, expect, test } from "vitest";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { startController, stopController } from "./controller.ts";
import { gate, gridOf, names, siteOn, training } from "./submit-site.ts";

export function submitSuite(theCluster: () => Cluster): void {
  describe("submit on Slurm", () => {
    test("elements claim rows; what is covered is queued, and is not submitted twice", async () => {
      const cluster = theCluster();
      const site = await siteOn(cluster, "submitted", gridOf(6));
      const first = await site.submit(["--max-running", "2"], training(site.root, gate(site.root)));
      expect(first).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^submitted 6 rows as job \d+\n$/) });
      const job = /job (\d+)/.exec(first.stdout)?.[1];
      await until("two run", async () => ((await site.counts()).running === 2 ? true : null), 30_000);
      expect(await site.counts()).toEqual({ running: 2, queued: 4 });
      const again = await site.submit([], training(site.root));
      expect(again).toMatchObject({
        exitCode: 0,
        stdout: `nothing to submit: 4 queued by root (job ${job}), 2 running\n`,
      });
      expect(await site.submit(["--quiet"], training(site.root))).toMatchObject({
        exitCode: 0,
        stdout: "",
        stderr: "",
      });
      await cluster.ask("login", ["touch", `${site.root}/go`]);
      await until("all are done", async () => ((await site.counts()).done === 6 ? true : null), 60_000);
      expect((await site.lines("ran")).sort()).toEqual(
        names(6)
          .map((name) => `${name} ${job}`)
          .sort(),
      );
      const outputs = await cluster.ask("login", ["sh", "-c", `cat ${site.root}/training_locks/submit/${job}_*.out`]);
      expect(outputs.match(/ done /g)).toHaveLength(6);
    }, 120_000);

    test("rows with options of their own get arrays of their own, whose elements take only those rows", async () => {
      const cluster = theCluster();
      const grid = `${gridOf(2)}- { strategy: [big1, big2, big3], dataset: D, model: m, submit: ["--comment=big"] }\n`;
      const site = await siteOn(cluster, "options", grid);
      const { stdout } = await site.submit(
        ["--with", "--nice=5"],
        training(site.root, `scontrol show job $SLURM_JOB_ID | grep -o 'Comment=.*' >>${site.root}/comments;`),
      );
      expect(stdout).toMatch(
        /^submitted 2 rows as job \d+, part 1 of 2 \(--nice=5\)\nsubmitted 3 rows as job \d+, part 2 of 2 \(--comment=big --nice=5\)\n$/,
      );
      const [small, big] = [...stdout.matchAll(/job (\d+)/g)].map(([, job]) => job);
      await until("all are done", async () => ((await site.counts()).done === 5 ? true : null), 60_000);
      expect((await site.lines("ran")).sort()).toEqual(
        [`s1 ${small}`, `s2 ${small}`, `big1 ${big}`, `big2 ${big}`, `big3 ${big}`].sort(),
      );
    }, 120_000);

    test("two submit at the same moment, and each row is queued once; half of an array is cancelled, and is submitted again", async () => {
      const cluster = theCluster();
      const site = await siteOn(cluster, "together", gridOf(8));
      const both = await Promise.all([1, 2].map(() => site.submit(["--with", "--hold"], training(site.root))));
      expect(
        both.map(({ stdout }) => /^(submitted 8 rows|nothing to submit: 8 queued by root)/.exec(stdout)?.[1]).sort(),
      ).toEqual(["nothing to submit: 8 queued by root", "submitted 8 rows"]);
      const job = both.map(({ stdout }) => /as job (\d+)/.exec(stdout)?.[1]).find(Boolean);
      await cluster.ask("login", ["scancel", `${job}_[5-8]`]);
      await until("half is left", async () => ((await site.counts()).queued === 4 ? true : null), 20_000);
      expect(await site.states()).toMatchObject({ s1: "queued", s4: "queued", s5: "free", s8: "free" });
      const more = await site.submit([], training(site.root));
      expect(more.stdout).toMatch(/^submitted 4 rows as job \d+\n$/);
      await cluster.ask("login", ["scontrol", "release", job ?? ""]);
      await until("all are done", async () => ((await site.counts()).done === 8 ? true : null), 60_000);
      expect((await site.lines("ran")).map((line) => line.split(" ")[0]).sort()).toEqual(names(8).sort());
    }, 120_000);

    test("a requeued element takes a row again; a refusal is repeated in the scheduler's words", async () => {
      const cluster = theCluster();
      const site = await siteOn(cluster, "requeued", gridOf(2));
      const { stdout } = await site.submit(["--with=--requeue", "--limit", "1"], training(site.root, gate(site.root)));
      const job = /job (\d+)/.exec(stdout)?.[1] ?? "";
      await until("it runs", async () => ((await site.counts()).running === 1 ? true : null), 30_000);
      await cluster.ask("login", ["scontrol", "requeuehold", `${job}_1`]);
      await until("it waits again", async () => ((await site.counts()).queued === 1 ? true : null), 30_000);
      expect((await site.submit(["--dry-run"], "true")).stdout).toContain("--array=1-1\n");
      await cluster.ask("login", ["touch", `${site.root}/go`]);
      await cluster.ask("login", ["scontrol", "release", `${job}_1`]);
      await until("one is done", async () => ((await site.counts()).done === 1 ? true : null), 60_000);
      const refused = await site.submit(["--with", "--partition=nowhere"], "true");
      expect(refused).toMatchObject({
        exitCode: 3,
        stderr: expect.stringMatching(/sbatch refused: sbatch: error: .*invalid partition/i),
      });
      expect(await site.counts()).toEqual({ done: 1, free: 1 });
    }, 120_000);

    test("a queue outlives a restart of the controller: what is covered stays covered, and is trained", async () => {
      const cluster = theCluster();
      const site = await siteOn(cluster, "restarted", gridOf(3));
      // As long is waited for a controller that is down.
      const settings = "timeouts: { scheduler: 3s }";
      await cluster.ask("login", ["sh", "-c", `echo '${settings}' >${site.root}/trainlock.yaml`]);
      const { stdout } = await site.submit(["--with", "--hold"], training(site.root));
      const job = /job (\d+)/.exec(stdout)?.[1] ?? "";
      await stopController(cluster);
      expect(await site.counts()).toEqual({ queued: 3 });
      const down = await site.submit([], training(site.root));
      const said = `^nothing to submit: 3 queued by root \\(job ${job}, submitted \\d+ s ago, no answer of its scheduler\\)\n$`;
      expect(down).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(said) });
      await startController(cluster);
      expect(await site.counts()).toEqual({ queued: 3 });
      await cluster.ask("login", ["scontrol", "release", job]);
      await until("all are done", async () => ((await site.counts()).done === 3 ? true : null), 60_000);
      expect((await site.lines("ran")).map((line) => line.split(" ")[0]).sort()).toEqual(["s1", "s2", "s3"]);
    }, 120_000);
  });
}
