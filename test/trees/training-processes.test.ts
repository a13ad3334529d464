import { spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { untilNoted } from "../support/noted-tree.ts";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithLastingCommand, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const withPython = requiresPrograms("python3");

/** Starts a worker as Python's Popen does: descriptors closed, a session of its own where asked for, and says its PID. */
const popen = (options: string) =>
  `import subprocess, sys; p = subprocess.Popen(["sleep", "60"], close_fds=True, ${options}); print("WORKER", p.pid, flush=True); p.wait()`;

async function trainAndKill(command: readonly string[]) {
  const of = configuration(await temporaryRoot());
  const running = startTrainlock(["run", ...of.args, "--", ...command]);
  await running.waitFor("WORKER");
  await until("the worker to be noted or started", () => (/WORKER \d+\n/.test(running.stdout()) ? true : null));
  const worker = Number(/WORKER (\d+)/.exec(running.stdout())?.[1]);
  onTestFinished(() => {
    try {
      process.kill(worker, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  });
  await untilNoted(of, [worker]);
  const record = JSON.parse(readFileSync(of.kernelLock, "utf8"));
  running.kill("SIGKILL");
  process.kill(record.trainlock.child_pid, "SIGKILL");
  await running.finished;
  return { of, worker, record };
}

const shapes = [
  ["in a session of its own", "start_new_session=True"],
  ["with a cleared environment", "start_new_session=True, env={'PATH': '/bin:/usr/bin'}"],
  ["in its launcher's session", "stdin=subprocess.DEVNULL"],
] as const;

for (const [shape, options] of shapes) {
  withPython(
    `wrapper and launcher are killed: a worker ${shape}, without the lock's descriptor, keeps the lock`,
    async () => {
      const { of, worker } = await trainAndKill(["python3", "-c", popen(options)]);
      const second = await trainlock(["run", ...of.args, "--", "true"]);
      expect(second.exitCode).toBe(75);
      const listed = await trainlock(["list", "-v", "--root", of.root]);
      expect(listed.stdout).toContain(`process ${worker} of its training runs on: sleep 60`);
      process.kill(worker, "SIGKILL");
      await until("the lock to be free", async () =>
        (await trainlock(["run", ...of.args, "--", "true"])).exitCode === 0 ? true : null,
      );
    },
  );
}

describe("wrapper and command are dead: who is named in their place", () => {
  /** A daemon of the command, which keeps what `shape` leaves it. */
  const shapes = [
    ["a daemon with the lock's descriptor", 'setsid sleep 60 & echo "WORKER $!"; wait'],
    [
      "a daemon without the lock's descriptor",
      'setsid sh -c "exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; exec sleep 60" & echo "WORKER $!"; wait',
    ],
    ["a daemon with another environment", 'setsid env -i sleep 60 & echo "WORKER $!"; wait'],
  ] as const;
  test.each(shapes)("%s is named by run, check and list", async (_, script) => {
    const { of, worker, record } = await trainAndKill(["sh", "-c", script]);
    const run = await trainlock(["run", ...of.args, "--", "true"]);
    expect(run.exitCode).toBe(75);
    expect(run.stderr).toContain(`SKIP: Another job (PID: ${worker} on `);
    expect(run.stderr).toContain(`PID ${worker} (sleep 60) on `);
    expect(run.stderr).toContain(`though PID ${record.pid} has ended; end it to free the lock`);
    const check = await trainlock(["check", ...of.args]);
    expect(check.exitCode).toBe(1);
    expect(check.stderr).toMatch(new RegExp(`Held by: .*PID ${worker}\\b`));
    const { stdout } = await trainlock(["list", "--json", "--root", of.root]);
    const locks = JSON.parse(stdout).locks as { pid: number; status: string; holder: { living: unknown } }[];
    for (const { pid, status, holder } of locks) {
      expect({ pid, status }).toEqual({ pid: record.pid, status: "active" });
      expect(holder.living).toEqual({ pid: worker, hostname: record.hostname, command: ["sleep", "60"] });
    }
    expect(locks).toHaveLength(2);
    process.kill(worker, "SIGKILL");
    await until("the lock to be free", async () =>
      (await trainlock(["run", ...of.args, "--", "true"])).exitCode === 0 ? true : null,
    );
  });

  test("nobody, while the wrapper lives; its command, once that is killed", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithLastingCommand(of.args);
    const living = async () => {
      const { stdout } = await trainlock(["list", "--json", "--root", of.root]);
      return (JSON.parse(stdout).locks as { holder: { living: { pid: number } | null } }[]).map(
        (lock) => lock.holder.living?.pid ?? null,
      );
    };
    expect(await living()).toEqual([null, null]);
    holder.kill("SIGKILL");
    await until("the wrapper's end", () => (isRunning(holder.pid) ? null : true));
    expect(await living()).toEqual([holder.commandPid, holder.commandPid]);
  });
});

test("what an earlier run of a requeued job has left carries its token, and is no part of the later run's training", async () => {
  const of = configuration(await temporaryRoot());
  const script = 'echo "TOKEN $TRAINLOCK_TOKEN $$"; exec sleep 60';
  const env = { SLURM_JOB_ID: "1", SLURM_RESTART_COUNT: "1" };
  const running = startTrainlock(["run", ...of.args, "--", "sh", "-c", script], { env });
  await running.waitFor("TOKEN");
  const [, token = "", command] = /TOKEN (\w+) (\d+)/.exec(running.stdout()) ?? [];
  const other = spawn("sleep", ["60"], { env: { TRAINLOCK_TOKEN: token, ...env, SLURM_RESTART_COUNT: "2" } });
  onTestFinished(() => void other.kill("SIGKILL"));
  running.kill("SIGKILL");
  process.kill(Number(command), "SIGKILL");
  await running.finished;
  await until("the lock to be free", async () =>
    (await trainlock(["run", ...of.args, "--", "true"])).exitCode === 0 ? true : null,
  );
  expect(other.exitCode).toBeNull();
});

test("a job that a training has submitted carries its token, and is no part of it", async () => {
  const of = configuration(await temporaryRoot());
  const script = 'echo "TOKEN $TRAINLOCK_TOKEN $$"; exec sleep 60';
  const running = startTrainlock(["run", ...of.args, "--", "sh", "-c", script], { env: { SLURM_JOB_ID: "1" } });
  await running.waitFor("TOKEN");
  const [, token = "", command] = /TOKEN (\w+) (\d+)/.exec(running.stdout()) ?? [];
  const submitted = spawn("sleep", ["60"], { env: { TRAINLOCK_TOKEN: token, SLURM_JOB_ID: "2" }, detached: true });
  onTestFinished(() => void submitted.kill("SIGKILL"));
  running.kill("SIGKILL");
  process.kill(Number(command), "SIGKILL");
  await running.finished;
  await until("the lock to be free", async () =>
    (await trainlock(["run", ...of.args, "--", "true"])).exitCode === 0 ? true : null,
  );
  expect(submitted.exitCode).toBeNull();
});

test("a noted tree of another claim, or of none, says nothing", async () => {
  const of = configuration(await temporaryRoot());
  await trainlock(["run", ...of.args, "--", "true"]);
  const noted = `${of.weightsDir}/.training_lock.tree`;
  for (const text of ["", "{", "[]", '{"token":"x","processes":[{"pid":1,"start_time_ticks":0}]}', "null"]) {
    writeFileSync(noted, text);
    expect((await trainlock(["run", ...of.args, "--", "true"])).exitCode).toBe(0);
  }
  rmSync(noted, { force: true });
});
