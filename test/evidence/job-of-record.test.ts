import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";

const beganAt = 1_768_232_969;
const job = {
  SLURM_JOB_ID: "7",
  SLURM_CLUSTER_NAME: "here",
  SLURM_JOB_START_TIME: String(beganAt),
  SLURM_STEP_ID: "0",
  SLURM_STEP_NUM_NODES: "1",
};

/** What a run writes of its job, started below a process that shows this name and nothing else. */
async function recorded(daemon: string, variables: Readonly<Record<string, string>>) {
  const of = configuration(await temporaryRoot());
  mkdirSync(of.root, { recursive: true });
  const script = join(of.root, "script");
  writeFileSync(script, `${executable} run ${of.args.join(" ")} -- true\n:\n`);
  const argv = ["-c", 'exec -a "$1" bash <"$2"', "bash", daemon, script];
  const { exitCode } = await finish("bash", argv, { env: environment({ ...job, ...variables }), timeoutMs: 30_000 });
  expect(exitCode).toBe(0);
  return JSON.parse(readFileSync(of.markerRecord, "utf8")).trainlock.scheduler;
}

test("a record names the job's cluster, its start, and the step of one host that it is of", async () => {
  const told = { cluster: "here", started_at: beganAt, one_host_step: "0" };
  expect(await recorded("slurmstepd: [7.0]", {})).toMatchObject({ kind: "slurm", job_id: "7", ...told });
});

test.each<readonly [string, string, Readonly<Record<string, string>>]>([
  ["the batch script of a job that a step has submitted", "slurmstepd: [7.batch]", {}],
  ["another job's step", "slurmstepd: [6.0]", {}],
  ["a step of two hosts", "slurmstepd: [7.0]", { SLURM_STEP_NUM_NODES: "2" }],
])("%s is no step of one host", async (_, daemon, variables) => {
  expect(await recorded(daemon, variables)).not.toHaveProperty("one_host_step");
});

test("a record names the other hosts of the job, where its step is not one of one host", async () => {
  const nodes = { SLURM_JOB_NODELIST: "node[01-03]", SLURMD_NODENAME: "node01" };
  expect(await recorded("slurmstepd: [7.batch]", nodes)).toMatchObject({ other_hosts: ["node02", "node03"] });
  expect(await recorded("slurmstepd: [7.0]", nodes)).not.toHaveProperty("other_hosts");
});

test("what is no name or time is left out", async () => {
  const scheduler = await recorded("bash", { SLURM_CLUSTER_NAME: "a b", SLURM_JOB_START_TIME: "-1" });
  expect(scheduler).not.toHaveProperty("cluster");
  expect(scheduler).not.toHaveProperty("started_at");
});
