import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { commandOf, list, submit, tool, untilState } from "./jobs.ts";

const standIns = fileURLToPath(new URL("stand-ins", import.meta.url));

/** Each with the variables by which a job knows that it is one, and what is said of a job that has ended. */
const others = [
  { name: "lsf", title: "LSF", source: "lsf", variables: "LSB_JOBID=$id LSB_JOBINDEX=0", ended: "STALE - job ended" },
  {
    name: "lsf-9",
    title: "LSF before 10.1.0.2",
    source: "lsf",
    variables: "LSB_JOBID=$id",
    ended: "STALE - job ended",
  },
  { name: "pbs", title: "PBS", source: "pbs", variables: "PBS_JOBID=$id.login", ended: "STALE - job ended" },
  // It forgets what has ended, and what is not known is no proof.
  {
    name: "sge",
    title: "Grid Engine",
    source: "sge",
    variables: "SGE_ROOT=/x JOB_ID=$id",
    ended: "UNKNOWN - remote process",
  },
] as const;

export function schedulersSuite(theCluster: () => Cluster): void {
  describe.each(others)("a job of $title", ({ name, source, variables, ended }) => {
    test(`is active while it runs, and ${ended} after it was killed`, async () => {
      const cluster = theCluster();
      const of = configuration(join(cluster.shared, name), name, "B", "m");
      await cluster.ask("login", ["mkdir", "-p", of.root]);
      const run = `${tool} run ${of.args.join(" ")} -- sh -c 'trap "" TERM; sleep 3600'`;
      const script = `trap '' TERM; id=$SLURM_JOB_ID; unset \${!SLURM_*}; exec env ${variables} ${run}`;
      const id = await submit(cluster, `exec bash -c ${quoted(script)}`, ["--nodelist=node02"]);
      await until("it holds", async () => (await commandOf(cluster, of, "node02")) || null, 30_000);

      const path = `PATH=${standIns}/${name}:${standIns}/no-ssh:/usr/sbin:/usr/bin:/sbin:/bin`;
      const running = await list(cluster, of.root, [path]);
      expect(running.map(({ label }) => label)).toEqual(["ACTIVE", "ACTIVE"]);
      const word = running[0]?.evidence.find((finding) => finding.source === source);
      expect(word).toMatchObject({ says: "alive", detail: expect.stringMatching(` job ${id}\\b.* on node02$`) });

      await cluster.ask("login", ["scancel", id]);
      await untilState(cluster, id, ["CANCELLED"]);
      expect((await list(cluster, of.root, [path])).map(({ label }) => label)).toEqual([ended, ended]);
    }, 60_000);
  });
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
