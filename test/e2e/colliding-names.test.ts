import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { pythonJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import {
  environment,
  executable,
  holdWithLastingCommand,
  holdWithRun,
  killWithCommand,
  trainlock,
} from "../support/trainlock.ts";

/** Two configurations, and no way to tell them by the name of their lock file. */
async function colliding() {
  const root = await temporaryRoot();
  const one = configuration(root, "a_b", "c");
  const other = configuration(root, "a", "b_c");
  expect(other.kernelLock).toBe(one.kernelLock);
  return { one, other };
}

test("two configurations with one lock name: while one is held, the other fails and names both", async () => {
  const { one, other } = await colliding();
  const holder = await holdWithRun(one.args);

  const run = await trainlock(["run", ...other.args, "--", "echo", "trained"]);

  expect(run).toMatchObject({ exitCode: 3, stdout: "" });
  expect(run.stderr).toMatch(/\ba_b\b.*\bc\b/s);
  expect(run.stderr).toMatch(/\ba\b.*\bb_c\b/s);
  const check = await trainlock(["check", ...other.args]);
  expect(check).toMatchObject({ exitCode: 3, stdout: "" });
  expect(check.stderr).toContain("a_b");
  // And the one that holds goes on undisturbed.
  holder.closeInput();
  expect(await holder.finished).toMatchObject({ exitCode: 0, stderr: "" });
});

describe("the other is refused no longer than the first lives", () => {
  const isFree = async ({ args }: { readonly args: readonly string[] }) => {
    expect(await trainlock(["check", ...args, "--scheduler", "none"])).toMatchObject({ exitCode: 0 });
    const run = ["run", ...args, "--scheduler", "none", "--", "echo", "trained"];
    expect(await trainlock(run)).toMatchObject({ exitCode: 0, stdout: "trained\n" });
  };

  test("a run whose wrapper and command were killed", async () => {
    const { one, other } = await colliding();
    await killWithCommand(await holdWithLastingCommand(one.args));
    await isFree(other);
    // And back: the number of the claim goes on growing in the one file.
    await isFree(one);
  });

  test("a run whose command lives on is refused, though its wrapper was killed", async () => {
    const { one, other } = await colliding();
    const holder = await holdWithLastingCommand(one.args);
    holder.kill("SIGKILL");
    await holder.finished;
    expect((await trainlock(["run", ...other.args, "--", "echo", "trained"])).stdout).toBe("");
    expect((await trainlock(["check", ...other.args])).exitCode).not.toBe(0);
    process.kill(holder.commandPid, "SIGKILL");
    await expect.poll(async () => (await trainlock(["check", ...other.args])).exitCode, { timeout: 10_000 }).toBe(0);
    await isFree(other);
  });

  requiresPrograms("python3")("a Python job that was killed", async () => {
    const { one, other } = await colliding();
    const job = pythonJob.start(one);
    await job.waitFor("HELD");
    expect((await trainlock(["run", ...other.args, "--", "echo", "trained"])).stdout).toBe("");
    job.kill("SIGKILL");
    await job.finished;
    await isFree(other);
  });

  requiresPrograms("unshare --pid")("a run in a container that has ended", async () => {
    const { one, other } = await colliding();
    const inside = ["--pid", "--fork", "--mount-proc", "--kill-child", executable, "run", ...one.args, "--"];
    const box = startProcess("unshare", [...inside, "sh", "-c", "echo HELD; exec sleep 60"], { env: environment() });
    await box.waitFor("HELD");
    expect((await trainlock(["run", ...other.args, "--", "echo", "trained"])).stdout).toBe("");
    box.kill("SIGKILL");
    await box.finished;
    await expect.poll(async () => (await trainlock(["check", ...other.args])).exitCode, { timeout: 10_000 }).toBe(0);
    await isFree(other);
  });
});
