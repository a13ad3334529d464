import { hostname } from "node:os";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

const jobs = [
  [{ SLURM_JOB_ID: "4712", SLURM_ARRAY_JOB_ID: "4700", SLURM_ARRAY_TASK_ID: "12" }, "4700_12"],
  [{ LSB_JOBID: "123", LSB_JOBINDEX: "3" }, "123[3]"],
  [{ PBS_JOBID: "77.server" }, "77.server"],
] as const;

test("the log of a job says once that run has the lock, and how it ended", async () => {
  const of = configuration(await temporaryRoot());
  const fails = ["--scheduler", "none", "--", "sh", "-c", "exit 3"];
  for (const [index, [env, job]] of jobs.entries()) {
    const { stdout, stderr } = await trainlock(["run", ...of.args, ...fails], { env });
    const begun = `Lock acquired (generation ${index + 1}, host ${hostname()}, job ${job}). Starting training…`;
    expect([stdout, stderr.split("\n")]).toEqual([
      "",
      [begun, expect.stringMatching(/^Training ended after .* \(exit code 3\)$/), ""],
    ]);
  }
});

test("not with --quiet, not outside of a job, and not where another has the lock", async () => {
  const of = configuration(await temporaryRoot());
  const [[env]] = jobs;
  const call = (options: readonly string[], variables: Record<string, string>) =>
    trainlock(["run", ...of.args, "--scheduler", "none", ...options, "--", "true"], { env: variables });
  expect(await call(["--quiet"], env)).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await call([], {})).toMatchObject({ exitCode: 0, stderr: "" });
  await holdWithRun(of.args);
  expect(await call([], env)).toMatchObject({ exitCode: 75, stderr: expect.not.stringMatching(/acquired|ended/) });
});
