import { chmodSync } from "node:fs";
import { resolve } from "node:path";
import { expect } from "vitest";
import { readProcessTable, readTreeProcess } from "../../src/system/processes/process-tree.ts";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish, startProcess } from "../support/running-process.ts";
import { environment, executable, type Holder, holdWithLastingCommand, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { etcdTest, type StoreSite, storeSite } from "./store.ts";

/** A command that goes on without wrapper, keeper and key. */
async function leaveBehind(site: StoreSite): Promise<Holder> {
  const holder = await holdWithLastingCommand([...site.args, "--no-also-marker"], site);
  const endsKey = site.lockKey.replace("/locks/", "/ends/");
  await until("the run is noted", async () => (await site.etcd.get(endsKey)).entry);
  const keepers = [...readProcessTable().values()].filter(
    ({ parent, name }) => parent === holder.pid && name === "lease-keeper",
  );
  expect(keepers).toHaveLength(1);
  holder.kill("SIGKILL");
  for (const { pid } of keepers) process.kill(pid, "SIGKILL");
  await holder.finished;
  // In place of its lease, which takes a while to end.
  await site.etcdctl("del", site.lockKey);
  return holder;
}

etcdTest(
  "what goes on of a claim whose wrapper and keeper are gone keeps others of its host away",
  async () => {
    const site = await storeSite();
    const { commandPid, pid } = await leaveBehind(site);
    const at = (subcommand: string, ...options: string[]) =>
      trainlock([subcommand, "--root", site.root, "--json", ...options], site);
    const { locks } = JSON.parse((await at("list")).stdout);
    expect(locks).toMatchObject([
      { kind: "etcd", label: "ACTIVE", name: site.name, holder: { pid, living: { pid: commandPid } } },
    ]);
    const { removed, kept } = JSON.parse((await at("clear", "--force", "--no-dry-run")).stdout);
    expect([removed, kept.length]).toEqual([[], 1]);
    expect(await trainlock(["check", ...site.args], site)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(String(commandPid)),
    });
    expect(await trainlock(["run", ...site.args, "--no-also-marker", "--", "true"], site)).toMatchObject({
      exitCode: 75,
      stderr: expect.stringContaining(String(commandPid)),
    });
    const inLibrary = `
      import { TrainingLock } from ${JSON.stringify(resolve("dist/lib/index.js"))};
      const lock = new TrainingLock({ strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50" });
      console.log(await lock.acquire(), (await lock.getLockHolder()).living.pid);
      process.exit();
    `;
    const { stdout } = await finish(process.execPath, ["--input-type=module", "-e", inLibrary], {
      env: environment({ ...site.env, TRAINLOCK_ROOT: site.root }),
      timeoutMs: 30_000,
    });
    expect(stdout).toBe(`false ${commandPid}\n`);
    expect(isRunning(commandPid)).toBe(true);
    process.kill(commandPid, "SIGKILL");
    await until("its end", () => !isRunning(commandPid) || null);
    expect((await trainlock(["list", "--root", site.root], site)).stdout).toBe("No active training locks\n");
    expect((await trainlock(["run", ...site.args, "--no-also-marker", "--", "true"], site)).exitCode).toBe(0);
  },
  60_000,
);

etcdTest(
  "--leftovers kill ends no process that only a note of others names",
  async () => {
    const site = await storeSite();
    const { commandPid } = await leaveBehind(site);
    const endsKey = site.lockKey.replace("/locks/", "/ends/");
    const note = (await site.etcd.get(endsKey)).entry?.value.toString() ?? "";
    // A process of ours that has nothing to do with it.
    const bystander = startProcess("sleep", ["60"], { env: environment() });
    const { startTimeTicks } = await until("it", () => readTreeProcess(bystander.pid));
    const forged = JSON.parse(note);
    Object.assign(forged.trainlock, { child_pid: bystander.pid, child_start_time_ticks: startTimeTicks });
    await site.etcdctl("put", endsKey, JSON.stringify(forged));
    const run = ["run", ...site.args, "--no-also-marker", "--leftovers", "kill", "--", "true"];
    expect((await trainlock(run, site)).exitCode).toBe(75);
    expect([isRunning(bystander.pid), isRunning(commandPid)]).toEqual([true, true]);
    bystander.kill("SIGKILL");
  },
  60_000,
);

const withUsers = requiresPrograms("etcd", "etcdctl", "setpriv as root");

withUsers(
  "only --leftovers kill of the same user ends it",
  async () => {
    const site = await storeSite();
    chmodSync(site.root, 0o755);
    const { commandPid } = await leaveBehind(site);
    const call = [executable, "run", ...site.args, "--no-also-marker", "--leftovers", "kill", "--", "true"];
    const other = ["--reuid=65534", "--regid=65534", "--clear-groups", ...call];
    expect((await finish("setpriv", other, { env: environment(site.env), timeoutMs: 30_000 })).exitCode).toBe(75);
    expect(isRunning(commandPid)).toBe(true);
    expect((await trainlock(call.slice(1), site)).exitCode).toBe(0);
    expect(isRunning(commandPid)).toBe(false);
  },
  60_000,
);
