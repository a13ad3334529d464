import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

type Environment = Readonly<Record<string, string>>;

/** What each launcher gives its tasks; stand-ins for launchers that the tests do not have. */
const launchers: Readonly<Record<string, (rank: number) => Environment>> = {
  srun: (rank) => ({ SLURM_JOB_ID: "7", SLURM_STEP_ID: "0", SLURM_PROCID: `${rank}`, SLURM_STEP_NUM_TASKS: "3" }),
  "Open MPI in a Slurm job": (rank) => ({
    // mpirun has srun start one daemon a node: every task below it inherits that one's rank.
    ...{ SLURM_JOB_ID: "7", SLURM_STEP_ID: "0", SLURM_PROCID: "0", SLURM_STEP_NUM_TASKS: "1" },
    ...{ OMPI_COMM_WORLD_RANK: `${rank}`, OMPI_COMM_WORLD_SIZE: "3", PMIX_NAMESPACE: "prterun-node01-42@1" },
  }),
  "MPICH on one host": (rank) => ({ PMI_RANK: `${rank}`, PMI_SIZE: "3" }),
  torchrun: (rank) => ({
    RANK: `${rank}`,
    WORLD_SIZE: "3",
    TORCHELASTIC_RUN_ID: "none",
    MASTER_ADDR: "127.0.0.1",
    MASTER_PORT: "29500",
  }),
};
const srun = (rank: number, size = 2): Environment => ({ ...launchers.srun?.(rank), SLURM_STEP_NUM_TASKS: `${size}` });

function start(of: TestConfiguration, env: Environment, script = "exec cat", options: readonly string[] = []) {
  const hello = `echo "ready $TRAINLOCK_GENERATION $TRAINLOCK_TOKEN"; ${script}`;
  return startTrainlock(["run", ...of.args, "--ranks", "job", ...options, "--", "sh", "-c", hello], { env });
}

describe("run --ranks job", () => {
  test.each(Object.entries(launchers))("under %s rank 0 takes the lock, the others join", async (_name, launcher) => {
    const of = configuration(await temporaryRoot());
    const others = [1, 2].map((rank) => start(of, launcher(rank)));
    const first = start(of, launcher(0));
    const runs = [first, ...others];
    await Promise.all(runs.map((run) => run.waitFor("ready")));
    const hellos = new Set(runs.map((run) => run.stdout()));
    expect([...hellos]).toEqual([expect.stringMatching(/^ready 1 [0-9a-f]{32}\n$/)]);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
    for (const run of [...others, first]) run.closeInput();
    for (const run of runs)
      expect(await run.finished).toMatchObject({ exitCode: 0, stderr: expect.not.stringContaining("lost") });
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0 });
  });

  test("the others start no earlier than rank 0, which may wait", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    const runs = [2, 1, 0].map((rank) => start(of, srun(rank, 3), "true", ["--wait"]));
    await Promise.all(runs.map((run) => until("the wait", () => (run.stderr().includes("Waiting for") ? true : null))));
    expect(runs.map((run) => run.stdout())).toEqual(["", "", ""]);
    holder.closeInput();
    for (const run of runs)
      expect(await run.finished).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^ready 2 /) });
  });

  test("rank 0 is turned away: exit code 75 for all, or 0 with --on-locked skip", async () => {
    const of = configuration(await temporaryRoot());
    await holdWithRun(of.args);
    const runs = [1, 0, 2].map((rank) => start(of, srun(rank, 3)));
    for (const run of runs) {
      expect(await run.finished).toMatchObject({ exitCode: 75, stdout: "", stderr: expect.stringContaining("SKIP: ") });
    }
    const skipped = [1, 0].map((rank) =>
      start(of, { ...srun(rank), SLURM_STEP_ID: "1" }, "true", ["--on-locked", "skip"]),
    );
    for (const run of skipped) expect(await run.finished).toMatchObject({ exitCode: 0, stdout: "" });
  });

  test("rank 0 has ended: who goes on is stopped after --kill-after, exit code 74", async () => {
    const of = configuration(await temporaryRoot());
    const first = start(of, srun(0));
    const second = start(of, srun(1), "exec sleep 1000", ["--kill-after", "1s"]);
    await Promise.all([first, second].map((run) => run.waitFor("ready")));
    first.closeInput();
    // Until then rank 0 keeps the lock for it.
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
    expect(await first.finished).toMatchObject({ exitCode: 0 });
    expect(await second.finished).toMatchObject({ exitCode: 74, stderr: expect.stringContaining("rank 0 has ended") });
  });

  test("rank 0 is killed with its command: the others are stopped, exit code 74, and the lock can be had", async () => {
    const of = configuration(await temporaryRoot());
    const first = start(of, srun(0));
    const second = start(of, srun(1), "exec sleep 1000");
    await Promise.all([first, second].map((run) => run.waitFor("ready")));
    first.kill("SIGKILL");
    await first.finished;
    const successor = startTrainlock(["run", ...of.args, "--wait", "--", "echo", "trained"]);
    first.closeInput();
    expect(await second.finished).toMatchObject({ exitCode: 74, stderr: expect.stringContaining("rank 0 is gone") });
    expect(await successor.finished).toMatchObject({ exitCode: 0, stdout: "trained\n" });
  });

  test("steps of one job are told apart, and nothing of them is left", async () => {
    const of = configuration(await temporaryRoot());
    for (const step of ["0", "1"]) {
      const runs = [1, 0].map((rank) => start(of, { ...srun(rank), SLURM_STEP_ID: step }, "true"));
      for (const run of runs) expect(await run.finished).toMatchObject({ exitCode: 0 });
    }
    expect((await readdir(of.lockDir)).sort()).toEqual([basename(of.kernelLock), "history"]);
  });
});

test("several tasks without --ranks: one warning, from rank 0", async () => {
  const of = configuration(await temporaryRoot());
  const run = (rank: number) => trainlock(["run", ...of.args, "--", "true"], { env: srun(rank) });
  expect((await run(0)).stderr).toMatch(/^trainlock: each of the 2 tasks .*--ranks job\nLock acquired/);
  expect((await run(1)).stderr).toMatch(/^Lock acquired/);
});

test("a batch script is no rank, whatever its environment says", async () => {
  const of = configuration(await temporaryRoot());
  const env = { SLURM_JOB_ID: "7", SLURM_PROCID: "0", SLURM_NTASKS: "4" };
  expect(await trainlock(["run", ...of.args, "--ranks", "job", "--", "true"], { env })).toMatchObject({
    exitCode: 0,
    stderr: expect.stringMatching(/^Lock acquired .*\nTraining ended .*\n$/),
  });
});

requiresPrograms("python3")(
  "a rank is killed with its command: what that has left keeps the lock, also without the lock's descriptor and the claim's variables",
  async () => {
    const of = configuration(await temporaryRoot());
    const launcher = `import os, subprocess
p = subprocess.Popen(["sleep", "60"], start_new_session=True, env={"PATH": os.defpath})
print("worker", os.getpid(), p.pid, flush=True)
p.wait()`;
    const first = start(of, srun(0));
    const other = start(of, srun(1), `exec python3 -c '${launcher}'`);
    await Promise.all([first.waitFor("ready"), other.waitFor("worker")]);
    const [command = 0, worker = 0] = (/worker (\d+) (\d+)/.exec(other.stdout()) ?? []).slice(1).map(Number);
    onTestFinished(() => void spawnSync("kill", ["-9", `${worker}`]));
    const files = async () => {
      const names = (await readdir(of.lockDir)).filter((name) => name.endsWith(".ranks.1"));
      return Promise.all(names.map((name) => readFile(join(of.lockDir, name), "utf8")));
    };
    await until("the worker to be noted", async () => (`${await files()}`.includes(`[${worker},`) ? true : null));
    other.kill("SIGKILL");
    process.kill(command, "SIGKILL");
    await other.finished;
    first.closeInput();
    await until("rank 0's command to have ended", async () => {
      const names = (await readdir(of.lockDir)).filter((name) => name.endsWith(".ranks"));
      const texts = await Promise.all(names.map((name) => readFile(join(of.lockDir, name), "utf8")));
      return `${texts}`.includes('"ended"') ? true : null;
    });
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    process.kill(worker, "SIGKILL");
    expect(await first.finished).toMatchObject({ exitCode: 0 });
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
  },
);

test.each([
  ["RANK", { RANK: "1", WORLD_SIZE: "1" }],
  ["RANK", { RANK: "0", WORLD_SIZE: "0" }],
  ["OMPI_COMM_WORLD_RANK", { OMPI_COMM_WORLD_RANK: "4", OMPI_COMM_WORLD_SIZE: "2" }],
] as const)("a rank that its launch does not have is refused: %s of %j", async (variable, env) => {
  const of = configuration(await temporaryRoot());
  const refused = await trainlock(["run", ...of.args, "--ranks", "job", "--", "true"], { env });
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain(
    `${variable}=${Object.values(env)[0]} is no rank of a launch of ${Object.values(env)[1]}`,
  );
  const alone = await trainlock(["run", ...of.args, "--", "true"], { env });
  expect(alone.exitCode).toBe(0);
});
