import { execFileSync } from "node:child_process";
import { expect } from "vitest";
import { sleep } from "../../src/system/clock/sleep.ts";
import { countingProxy } from "../etcd/counting-proxy.ts";
import { executable, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { etcdTest, type StoreSite, storeSite } from "./store.ts";

const ttlMs = 5000;

function rank(site: StoreSite, number: number, killAfterMs = 1000, ttl = "5s") {
  const launch = { SLURM_JOB_ID: "7", SLURM_STEP_ID: "0", SLURM_PROCID: `${number}`, SLURM_STEP_NUM_TASKS: "2" };
  const options = ["--no-also-marker", "--ttl", ttl, "--kill-after", `${killAfterMs}ms`, "--ranks", "job"];
  const script = `echo "ready $$ $TRAINLOCK_TOKEN"; trap '' TERM; while read line; do ${executable} held && echo held; done`;
  return startTrainlock(["run", ...site.args, ...options, "--", "sh", "-c", script], {
    env: { ...site.env, ...launch },
  });
}

const check = async (site: StoreSite) => (await trainlock(["check", ...site.args], site)).exitCode;

etcdTest("all ranks of a launch run under one claim, whatever an older record in the folder says", async () => {
  const site = await storeSite();
  // By the file system's locks, and with a higher generation than any in this store.
  await trainlock(["run", ...site.args, "--", "true"]);
  const [second, first] = [rank(site, 1), rank(site, 0)];
  for (const each of [first, second]) {
    await each.waitFor("ready");
    each.writeLine("ask");
    await each.waitFor("held");
  }
  const tokens = [first, second].map((each) => /ready \d+ (\w+)/.exec(each.stdout())?.[1]);
  expect(tokens[0]).toBe(tokens[1]);
  for (const each of [second, first]) each.closeInput();
  for (const each of [first, second]) expect(await each.finished).toMatchObject({ exitCode: 0 });
  expect(await check(site)).toBe(0);
});

etcdTest("when rank 0 is gone, the others stop, and the lock stays for as long as one of them runs", async () => {
  const site = await storeSite();
  const [second, first] = [rank(site, 1, 2 * ttlMs), rank(site, 0)];
  await Promise.all([first.waitFor("ready"), second.waitFor("ready")]);
  const command = Number(/ready (\d+)/.exec(first.stdout())?.[1]);
  const gone = [keeperOf(first.pid), first.pid, command];
  for (const pid of gone) process.kill(pid, "SIGKILL");
  await until("the loss", () => (/rank 0 is gone/.test(second.stderr()) ? true : null));
  // It does not end for SIGTERM. Nobody else renews what the lease of rank 0 was.
  await sleep(1.5 * ttlMs);
  expect(await check(site)).toBe(1);
  expect(await second.finished).toMatchObject({ exitCode: 74 });
  await expect.poll(() => check(site), { timeout: 3 * ttlMs, interval: 500 }).toBe(0);
});

etcdTest("where the lease is revoked, the ranks agree on one again, and the last release frees the lock", async () => {
  const site = await storeSite();
  const ranks = [rank(site, 1, 1000, "10s"), rank(site, 0, 1000, "10s")];
  await Promise.all(ranks.map((each) => each.waitFor("ready")));
  const lease = async () => (await site.etcd.get(site.lockKey)).entry?.lease ?? "";
  for (let nth = 0; nth < 3; nth += 1) {
    expect(await site.etcd.revoke(await lease())).toBe(true);
    await until("the key to be there again", async () => (await lease()) || null);
    await until(
      "the key to be left alone for many renewals",
      async () => {
        const { entry } = await site.etcd.get(site.lockKey);
        await sleep(2000);
        return (await site.etcd.get(site.lockKey)).entry?.modRevision === entry?.modRevision || null;
      },
      15_000,
    );
  }
  for (const each of ranks) each.closeInput();
  for (const each of ranks) {
    const { exitCode, stderr } = await each.finished;
    expect([exitCode, stderr.match(/is claimed again/g)]).toEqual([0, Array(3).fill("is claimed again")]);
  }
  expect(await check(site)).toBe(0);
});

etcdTest("a rank that was given a longer time to live stops before the lease of rank 0 can end", async () => {
  const site = await storeSite();
  const relay = await countingProxy(/\/\/([^/]+)/.exec(site.env.TRAINLOCK_STORE ?? "")?.[1] ?? "");
  const behind = {
    ...site,
    env: { ...site.env, TRAINLOCK_STORE: site.env.TRAINLOCK_STORE?.replace(/\/\/[^/]+/, `//${relay.endpoint}`) ?? "" },
  };
  const [second, first] = [rank(behind, 1, 1000, "60s"), rank(site, 0)];
  await Promise.all([first.waitFor("ready"), second.waitFor("ready")]);
  relay.stop();
  const stopped = performance.now();
  await until("the loss", () => (/the lock was lost/.test(second.stderr()) ? true : null));
  expect(performance.now() - stopped).toBeLessThan(ttlMs);
  expect(await second.finished).toMatchObject({ exitCode: 74 });
});

etcdTest("when the lock is another's, no rank goes on, whatever it does with SIGTERM", async () => {
  const site = await storeSite();
  const [second, first] = [rank(site, 1), rank(site, 0)];
  await Promise.all([first.waitFor("ready"), second.waitFor("ready")]);
  await site.etcdctl("put", site.lockKey.replace("/locks/", "/last/"), "another");
  await site.etcdctl("del", site.lockKey);
  for (const each of [first, second]) expect(await each.finished).toMatchObject({ exitCode: 74 });
});

function keeperOf(parent: number): number {
  const listed = execFileSync("ps", ["-eo", "pid,ppid,comm"], { encoding: "utf8" });
  const line = listed.split("\n").find((each) => new RegExp(`^ *\\d+ +${parent} lease-keeper$`).test(each));
  return Number(line?.trim().split(" ")[0]);
}
