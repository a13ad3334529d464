import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startTrainlock, trainlock } from "../support/trainlock.ts";
import { launcher, launcherNames, startedWorkers } from "../trees/launchers.ts";
import { type StoreSite, storeSite } from "./store.ts";

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
