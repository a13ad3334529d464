import { readFile, utimes, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithLastingCommand, trainlock } from "../support/trainlock.ts";

type Environment = Readonly<Record<string, string>>;
const slurm = (restart: number, job = "4711"): Environment => ({
  SLURM_JOB_ID: job,
  SLURM_RESTART_COUNT: String(restart),
});

/** As after the death of a whole host: both locks are left behind, and what they say cannot be looked up from here. */
async function leftOnAnotherHost(env: Environment): Promise<TestConfiguration> {
  const of = configuration(await temporaryRoot());
  const holder = await holdWithLastingCommand(of.args, { env });
  const record = JSON.parse(await readFile(of.kernelLock, "utf8"));
  const marker = JSON.parse(await readFile(of.markerRecord, "utf8"));
  holder.kill("SIGKILL");
  process.kill(holder.commandPid, "SIGKILL");
  await holder.finished;
  for (const [path, left] of [
    [of.kernelLock, record],
    [of.markerRecord, marker],
  ] as const) {
    left.hostname = "elsewhere";
    left.trainlock.boot_id = "00000000-0000-0000-0000-000000000000";
    await writeFile(path, JSON.stringify(left));
    // From before this host has booted: else others write on its disk, and their locks do not reach it.
    await utimes(path, 1_000_000_000, 1_000_000_000);
  }
  return of;
}

const run = (of: TestConfiguration, env: Environment) =>
  trainlock(["run", ...of.args, "--scheduler", "none", "--", "sh", "-c", "echo $TRAINLOCK_GENERATION"], { env });

describe("a requeued job", () => {
  test("takes its own old lock over, with the next generation", async () => {
    const of = await leftOnAnotherHost(slurm(0));
    expect(await run(of, slurm(1))).toMatchObject({ exitCode: 0, stdout: "2\n" });
  });

  test("of an array takes over that of its own element", async () => {
    const of = await leftOnAnotherHost({ ...slurm(1), SLURM_ARRAY_TASK_ID: "3" });
    expect(await run(of, { ...slurm(2), SLURM_ARRAY_TASK_ID: "3" })).toMatchObject({ exitCode: 0 });
  });

  test("does not take over what its last run still holds", async () => {
    const of = configuration(await temporaryRoot());
    await holdWithLastingCommand(of.args, { env: slurm(0) });
    expect(await run(of, slurm(1))).toMatchObject({ exitCode: 75 });
  });
});
