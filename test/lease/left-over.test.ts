import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { environment, startTrainlock, trainlock } from "../support/trainlock.ts";
import { launcher, launcherNames, startedWorkers } from "../trees/launchers.ts";
import { etcdTest, type StoreSite, storeSite } from "./store.ts";

const withSessions = requiresPrograms("etcd", "etcdctl", "setsid");

/** A command that starts a worker in a session of its own, as launchers do, and ends before it. */
function leavingWorker(site: StoreSite, seconds: number): string[] {
  const worker = `echo $$ > '${join(site.root, "worker")}'; exec sleep ${seconds}`;
  onTestFinished(() => {
    try {
      process.kill(workerOf(site), "SIGKILL");
    } catch {
      // It has ended.
    }
  });
  return [
    "sh",
    "-c",
    `setsid sh -c "${worker.replaceAll("$", "\\$")}" & while ! test -s '${join(site.root, "worker")}'; do sleep 0.02; done`,
  ];
}

const workerOf = ({ root }: StoreSite) => Number(readFileSync(join(root, "worker"), "utf8"));

withSessions("a worker that has left the command's group keeps the lock until it ends", async () => {
  const site = await storeSite();
  const run = startTrainlock(["run", ...site.args, "--", ...leavingWorker(site, 60)], site);
  await expect
    .poll(run.stderr, { timeout: 5000 })
    .toMatch(/has ended, but left sleep 60 \(PID \d+\): keeping the lock/);
  expect((await trainlock(["check", ...site.args], site)).exitCode).toBe(1);
  process.kill(workerOf(site), "SIGKILL");
  expect(await run.finished).toMatchObject({ exitCode: 0 });
  await expect.poll(async () => (await trainlock(["check", ...site.args], site)).exitCode).toBe(0);
});

withSessions("such a worker is killed with the rest when the lock is lost, before another can have it", async () => {
  const site = await storeSite();
  writeFileSync(join(site.root, "trainlock.yaml"), `store:\n  address: ${site.env.TRAINLOCK_STORE}\n  ttl: 5s\n`);
  const [shell = "", flag = "", script = ""] = leavingWorker(site, 120);
  const command = ["--kill-after", "2s", "--", shell, flag, `${script}; exec sleep 120`];
  const run = startTrainlock(["run", ...site.args, ...command], site);
  await expect.poll(async () => (await site.etcd.get(site.lockKey)).entry).not.toBeNull();
  await expect.poll(() => workerOf(site), { timeout: 5000 }).toBeGreaterThan(0);
  await site.etcdctl("put", site.lockKey.replace("/locks/", "/last/"), "another");
  await site.etcdctl("del", site.lockKey);
  expect(await run.finished).toMatchObject({ exitCode: 74 });
  await expect.poll(() => isRunning(workerOf(site)), { timeout: 10_000 }).toBe(false);
});

const withPython = requiresPrograms("etcd", "etcdctl", "python3", "setsid");

for (const name of launcherNames) {
  withPython(`while the wrapper is stopped the keeper ends the whole tree of a lost claim: ${name}`, async () => {
    const site = await storeSite();
    writeFileSync(join(site.root, "trainlock.yaml"), `store:\n  address: ${site.env.TRAINLOCK_STORE}\n  ttl: 5s\n`);
    const command = launcher(site.root, name, { deaf: true });
    const run = startTrainlock(["run", ...site.args, "--kill-after", "2s", "--", ...command], site);
    const workers = await startedWorkers(site.root);
    // The wrapper notes workers at the latest a second after they have started.
    await sleep(1500);
    process.kill(run.pid, "SIGSTOP");
    await site.etcdctl("put", site.lockKey.replace("/locks/", "/last/"), "another");
    await site.etcdctl("del", site.lockKey);
    await expect.poll(() => workers.some(isRunning), { timeout: 10_000 }).toBe(false);
    process.kill(run.pid, "SIGCONT");
    expect(await run.finished).toMatchObject({ exitCode: 74 });
  });
}

withPython("what the command starts while its wrapper is stopped is ended with the rest of a lost claim", async () => {
  const site = await storeSite();
  writeFileSync(join(site.root, "trainlock.yaml"), `store:\n  address: ${site.env.TRAINLOCK_STORE}\n  ttl: 5s\n`);
  const name = "a double fork into a session of its own, without an environment";
  const [python = "", flag = "", script = ""] = launcher(site.root, name, { deaf: true });
  const begin = join(site.root, "begin");
  const late = `import os, time\nprint("READY", flush=True)\nwhile not os.path.exists("${begin}"): time.sleep(0.02)\n${script}`;
  const run = startTrainlock(["run", ...site.args, "--kill-after", "1s", "--", python, flag, late], site);
  await run.waitFor("READY");
  process.kill(run.pid, "SIGSTOP");
  writeFileSync(begin, "");
  const workers = await startedWorkers(site.root);
  await site.etcdctl("put", site.lockKey.replace("/locks/", "/last/"), "another");
  await site.etcdctl("del", site.lockKey);
  await expect.poll(() => workers.some(isRunning), { timeout: 10_000 }).toBe(false);
  process.kill(run.pid, "SIGCONT");
  expect(await run.finished).toMatchObject({ exitCode: 74 });
});

const jobs = [
  ["another job, submitted by a job", { SLURM_JOB_ID: "1" }, { SLURM_JOB_ID: "2" }],
  ["a later run of the same job", { SLURM_JOB_ID: "1" }, { SLURM_JOB_ID: "1", SLURM_RESTART_COUNT: "1" }],
  ["a job that was submitted outside of one", {}, { SLURM_JOB_ID: "2" }],
] as const;

/** A process beside the tree of a run, with the variables that the run has given its command, and of another job. */
async function carrierOf(site: StoreSite, own: StoreSite["env"], others: StoreSite["env"]) {
  const script = 'echo "TOKEN $TRAINLOCK_TOKEN $$"; exec sleep 60';
  const options = ["--scheduler", "none", "--ttl", "5s", "--kill-after", "1s"];
  const run = startTrainlock(["run", ...site.args, ...options, "--", "sh", "-c", script], {
    env: { ...site.env, ...own },
  });
  await run.waitFor("TOKEN");
  const [, token = "", command] = /TOKEN (\w+) (\d+)/.exec(run.stdout()) ?? [];
  const env = { ...site.env, TRAINLOCK_TOKEN: token, ...others };
  return { run, command: Number(command), env, carrier: startProcess("sleep", ["60"], { env: environment(env) }) };
}

for (const [what, own, others] of jobs) {
  etcdTest(`${what} carries the token: it gets the lock of a killed run and command, though it runs on`, async () => {
    const site = await storeSite();
    const { run, command, env, carrier } = await carrierOf(site, own, others);
    run.kill("SIGKILL");
    process.kill(command, "SIGKILL");
    await run.finished;
    const next = ["run", ...site.args, "--scheduler", "none", "--wait=20s", "--", "true"];
    expect(await trainlock(next, { env, timeoutMs: 30_000 })).toMatchObject({ exitCode: 0 });
    expect(isRunning(carrier.pid)).toBe(true);
  });

  etcdTest(`${what} carries the token: it is not ended with a lost claim`, async () => {
    const site = await storeSite();
    const { run, command, carrier } = await carrierOf(site, own, others);
    await site.etcdctl("put", site.lockKey.replace("/locks/", "/last/"), "another");
    await site.etcdctl("del", site.lockKey);
    expect(await run.finished).toMatchObject({ exitCode: 74 });
    await expect.poll(() => isRunning(command)).toBe(false);
    await sleep(500);
    expect(isRunning(carrier.pid)).toBe(true);
  });
}
