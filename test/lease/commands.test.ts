import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { put } from "../etcd/client-for.ts";
import { executable, holdWithRun, killWithCommand, startTrainlock, trainlock } from "../support/trainlock.ts";
import { etcdTest, type StoreSite, storeSite } from "./store.ts";

etcdTest("a run turns away another root's run, and names its holder", async () => {
  const site = await storeSite();
  const holder = await holdWithRun(site.args, site);
  const other = await site.elsewhere();
  expect(await trainlock(["run", ...other.args, "--", "true"], site)).toMatchObject({
    exitCode: 75,
    stderr: expect.stringContaining(`SKIP: Another job (PID: ${holder.pid} on `),
  });
  const locked = await trainlock(["check", ...other.args], site);
  expect(locked).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("[PRE-FLIGHT CHECK FAILED]") });
  holder.closeInput();
  expect((await holder.finished).exitCode).toBe(0);
  expect(await trainlock(["check", ...other.args], site)).toMatchObject({
    exitCode: 0,
    stdout: `FREE ${other.name}\n`,
  });
  expect(await trainlock(["run", ...other.args, "--", "true"], site)).toMatchObject({ exitCode: 0, stderr: "" });
});

etcdTest("list shows it in a section of its own, and as JSON; afterwards nothing is left", async () => {
  const site = await storeSite();
  const holder = await holdWithRun([...site.args, "--no-also-marker"], site);
  const { stdout } = await trainlock(["list", "--root", site.root], site);
  const address = `${site.env.TRAINLOCK_STORE}/locks/baseline_idd_aw_deeplabv3plus_r50`;
  expect(stdout).toMatch(
    new RegExp(
      `^=== etcd locks \\(1\\) ===\\n {2}- ${site.name} \\[ACTIVE\\]\\n {4}PID: ${holder.pid}, Host: .+, User: .+, Started: .+\\n {4}Key: ${address}\\n\\nTotal locks: 1\\n$`,
    ),
  );
  const { total, locks } = JSON.parse((await trainlock(["list", "--root", site.root, "--json"], site)).stdout);
  expect(total).toBe(1);
  expect(locks[0]).toMatchObject({
    kind: "etcd",
    status: "active",
    path: address,
    holder: { generation: holder.generation },
  });
  expect(locks[0].evidence).toContainEqual({ source: "lease", says: "alive", detail: "its lease is alive" });
  expect(
    JSON.parse((await trainlock(["list", "--root", site.root, "--fcntl-only", "--json"], site)).stdout).total,
  ).toBe(0);
  const unasked = JSON.parse(
    (await trainlock(["list", "--root", site.root, "--no-verify-pid", "--json"], site)).stdout,
  );
  expect(unasked.locks[0].status).toBe("unverified");
  holder.closeInput();
  await holder.finished;
  expect((await trainlock(["list", "--root", site.root], site)).stdout).toBe("No active training locks\n");
});

etcdTest("the command can ask for its own claim, and hears when it is gone", async () => {
  const site = await storeSite();
  const script = `${executable} held && ${executable} held --generation $TRAINLOCK_GENERATION && ! ${executable} held --generation 1`;
  expect(await trainlock(["run", ...site.args, "--", "sh", "-c", script], site)).toMatchObject({
    exitCode: 0,
    stderr: expect.stringMatching(/its generation is \d+, not 1/),
  });
  const holder = await holdWithRun(site.args, site);
  const generation = String(holder.generation);
  expect(await trainlock(["held", ...site.args, "--generation", generation], site)).toMatchObject({ exitCode: 0 });
  holder.closeInput();
  await holder.finished;
  expect(await trainlock(["held", ...site.args, "--generation", generation], site)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("is gone"),
  });
});

etcdTest("generations grow from run to run", async () => {
  const site = await storeSite();
  const seen: number[] = [];
  for (let times = 0; times < 3; times += 1) {
    const { stdout } = await trainlock(["run", ...site.args, "--", "sh", "-c", "echo $TRAINLOCK_GENERATION"], site);
    seen.push(Number(stdout));
  }
  expect(seen[0]).toBeGreaterThan(0);
  expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
});

etcdTest("a waiter begins when the holder is done, also over another root", async () => {
  const site = await storeSite();
  const holder = await holdWithRun(site.args, site);
  const other = await site.elsewhere();
  const waiter = startTrainlock(["run", ...other.args, "--wait=1m", "--", "echo", "MY TURN"], site);
  await expect.poll(() => waiter.stderr()).toContain("Waiting for");
  expect(waiter.stdout()).toBe("");
  holder.closeInput();
  await waiter.waitFor("MY TURN");
  expect((await waiter.finished).exitCode).toBe(0);
});

etcdTest("a wait that is over, or interrupted, leaves nothing behind", async () => {
  const site = await storeSite();
  const holder = await holdWithRun(site.args, site);
  expect(await trainlock(["run", ...site.args, "--wait=1s", "--", "true"], site)).toMatchObject({ exitCode: 75 });
  const waiter = startTrainlock(["run", ...site.args, "--wait", "--", "true"], site);
  await expect.poll(() => waiter.stderr()).toContain("Waiting for");
  waiter.kill("SIGINT");
  expect((await waiter.finished).exitCode).toBe(130);
  const { entry } = await site.etcd.get(site.lockKey);
  expect(entry?.createRevision).toBe(holder.generation);
});

etcdTest("two configurations whose names come out the same are told apart", async () => {
  const site = await storeSite();
  await holdWithRun(["--root", site.root, "--strategy", "a_b", "--dataset", "c", "--model", "m"], site);
  const same = ["--root", site.root, "--strategy", "a", "--dataset", "b_c", "--model", "m"];
  for (const call of [
    ["run", ...same, "--", "true"],
    ["check", ...same],
  ]) {
    const { exitCode, stderr } = await trainlock(call, site);
    expect(stderr).toContain("two configurations have the same lock name");
    expect(exitCode).toBe(3);
  }
});

etcdTest("a key that somebody wrote by hand is not free, is judged by its record, and goes only by clear", async () => {
  const site = await storeSite();
  const hostile = [Buffer.from([0, 255, 1]), "x".repeat(200_000), '{"a":'.repeat(5000), '{"pid": "\u001b[2J"}', ""];
  for (const value of hostile) {
    await put(site.etcd, site.lockKey, value);
    expect(await trainlock(["run", ...site.args, "--", "true"], site)).toMatchObject({ exitCode: 75 });
    expect(await trainlock(["check", ...site.args], site)).toMatchObject({ exitCode: 1 });
    const { stdout, exitCode } = await trainlock(["list", "--root", site.root, "-v"], site);
    expect(stdout).toContain("UNKNOWN");
    expect(stdout).not.toContain("\u001b");
    expect(exitCode).toBe(0);
    expect(await stateIn(site)).toEqual({ state: "unknown", kind: "etcd" });
  }
  const kept = await trainlock(["clear", "--root", site.root, "--no-dry-run"], site);
  expect(kept).toMatchObject({ exitCode: 0, stdout: "No stale locks found\n" });
  const forced = await trainlock(["clear", "--root", site.root, "--no-dry-run", "--force"], site);
  expect(forced.stdout).toContain("Cleared 1 stale or unknown lock:");
  expect((await site.etcd.get(site.lockKey)).entry).toBeNull();
});

/** What plan and why say of the site's row; they have to agree. */
async function stateIn(site: StoreSite): Promise<unknown> {
  const [plan, why] = await Promise.all(
    ["plan", "why"].map(async (command) =>
      JSON.parse((await trainlock([command, ...site.args, "--json"], site)).stdout),
    ),
  );
  const [{ state, lock }] = plan.rows;
  expect(why).toMatchObject({ state, key: lock?.path });
  return { state, kind: lock?.kind };
}

etcdTest("a key under a lease keeps plan, why and work away, whatever stands in it", async () => {
  const site = await storeSite();
  const { lease } = await site.etcd.grant(60);
  const ofAnother = JSON.stringify({ strategy: "other", dataset: "D", model: "m", pid: 1, trainlock: { format: 99 } });
  for (const value of ["", ofAnother]) {
    const then = [{ put: site.lockKey, value: Buffer.from(value), lease }];
    await site.etcd.transact({ if: [], then, elseGet: [] });
    expect(await stateIn(site)).toEqual({ state: "running", kind: "etcd" });
    const work = await trainlock(["work", ...site.args, "--", "echo", "TRAINED"], site);
    expect(work).toMatchObject({ exitCode: 75, stdout: expect.not.stringContaining("TRAINED") });
  }
});

etcdTest("work takes over a key that a dead owner left under no lease, as run does", async () => {
  const site = await storeSite();
  const holder = await holdWithRun([...site.args, "--no-also-marker"], site);
  const record = (await site.etcd.get(site.lockKey)).entry?.value ?? "";
  holder.kill("SIGKILL");
  holder.closeInput();
  await holder.finished;
  await expect.poll(async () => (await site.etcd.get(site.lockKey)).entry, { timeout: 20_000 }).toBeNull();
  await put(site.etcd, site.lockKey, record);
  expect(await stateIn(site)).toEqual({ state: "stale", kind: "etcd" });
  const touch = join(site.root, "trained");
  expect(await trainlock(["work", ...site.args, "--", "touch", touch], site)).toMatchObject({ exitCode: 0 });
  expect(existsSync(touch)).toBe(true);
});

etcdTest("the keys of a store whose prefix begins with ours are no locks of ours", async () => {
  const site = await storeSite();
  const env = { ...site.env, TRAINLOCK_STORE: `${site.env.TRAINLOCK_STORE}/locks` };
  await trainlock(["run", ...site.args, "--no-also-marker", "--", "true"], { env });
  const before = await site.etcdctl("get", "--prefix", site.lockKey.replace(/[^/]+$/, ""));
  expect(before).toContain("/locks/ends/");
  const { stdout } = await trainlock(["clear", "--root", site.root, "--force", "--no-dry-run"], site);
  expect(stdout).toBe("No stale locks found\n");
  expect(await site.etcdctl("get", "--prefix", site.lockKey.replace(/[^/]+$/, ""))).toBe(before);
});

etcdTest("what a dead owner of this host left under no lease is stale, and is taken over", async () => {
  const site = await storeSite();
  const holder = await holdWithRun(site.args, site);
  const record = (await site.etcd.get(site.lockKey)).entry?.value ?? "";
  holder.closeInput();
  await holder.finished;
  // As from a backup that was put back.
  await put(site.etcd, site.lockKey, record);
  const listed = await trainlock(["list", "--root", site.root], site);
  expect(listed.stdout).toContain("[STALE - PID not running]");
  const dry = await trainlock(["clear", "--root", site.root], site);
  expect(dry.stdout).toContain("Found 1 stale lock (dry run):");
  expect(await trainlock(["run", ...site.args, "--", "true"], site)).toMatchObject({ exitCode: 0 });
  await put(site.etcd, site.lockKey, record);
  const cleared = await trainlock(["clear", "--root", site.root, "--no-dry-run"], site);
  expect(cleared.stdout).toContain("Cleared 1 stale lock:");
  expect((await site.etcd.get(site.lockKey)).entry).toBeNull();
});

etcdTest("clear never takes a lock whose lease is alive, however it is forced", async () => {
  const site = await storeSite();
  await holdWithRun(site.args, site);
  const { stdout } = await trainlock(["clear", "--root", site.root, "--no-dry-run", "--force"], site);
  expect(stdout).toBe("No stale locks found\n");
  expect((await site.etcd.get(site.lockKey)).entry).not.toBeNull();
});

etcdTest("where the marker is declined, only the weights dir is made", async () => {
  const site = await storeSite();
  const { stderr } = await trainlock(["run", ...site.args, "--no-also-marker", "--", "true"], site);
  expect(stderr).toContain("jobs that know only the kernel lock and the marker are neither seen nor kept out");
  expect(readdirSync(site.weightsDir)).toEqual([]);
  expect(existsSync(site.lockDir)).toBe(false);
});

etcdTest("a run inside of a run is under its claim, one at a time", async () => {
  const site = await storeSite();
  const call = (...rest: readonly string[]) =>
    [executable, "run", ...site.args, ...rest].map((word) => `'${word}'`).join(" ");
  const says = 'echo "$TRAINLOCK_TOKEN $TRAINLOCK_GENERATION $TRAINLOCK_LOCK"';
  const script = `${says}; ${call("--wait", "--", "sh", "-c", says)}
    ${call("--", "sleep", "1")} & sleep 0.5; ${call("--", "true")}; echo "second $?"
    env -u TRAINLOCK_TOKEN ${call("--wait", "--", "true")}; echo "unset $?"; wait`;
  const { exitCode, stdout } = await trainlock(["run", ...site.args, "--", "sh", "-c", script], site);
  const [outer, inner, ...rest] = stdout.trim().split("\n");
  expect([exitCode, inner, rest]).toEqual([0, outer, ["second 75", "unset 2"]]);
});

etcdTest("--debug shows what the keeper of the lease asks, too, and nothing of what it sends", async () => {
  const site = await storeSite();
  const call = ["run", ...site.args, "--debug", "--", "sh", "-c", 'echo "$TRAINLOCK_TOKEN"'];
  const { exitCode, stdout, stderr } = await trainlock(call, site);
  expect(exitCode).toBe(0);
  for (const path of ["lease/grant", "kv/txn", "lease/revoke"])
    expect(stderr).toMatch(
      new RegExp(
        `^debug: lease keeper: etcd POST \\S+/v3/${path}\\ndebug: {3}HTTP 200, \\d+ bytes after \\d+ ms\\n`,
        "m",
      ),
    );
  expect(stderr).not.toContain(stdout.trim());
  expect(stderr).not.toContain(Buffer.from(stdout.trim()).toString("base64").slice(4, 20));
});

etcdTest("the first run of a new root is in its history", async () => {
  const site = await storeSite();
  await trainlock(["run", ...site.args, "--", "true"], site);
  const { stdout } = await trainlock(["history", "--root", site.root, "--json"], site);
  expect(JSON.parse(stdout).rows).toMatchObject([{ state: "done", exit: 0 }]);
});

etcdTest(
  "where the store does not answer, list and clear do what they can with the files, and exit with 3",
  async () => {
    const site = await storeSite();
    const holder = await holdWithRun(site.args);
    const env = { TRAINLOCK_STORE: "etcd://127.0.0.1:1/trainlock" };
    const list = () => trainlock(["list", "--root", site.root, "--json"], { env });
    const shown = JSON.parse((await list()).stdout);
    expect(shown.locks.map(({ kind }: { kind: string }) => kind)).toEqual(["file", "fcntl"]);
    expect(shown.unreadable).toMatchObject([{ path: env.TRAINLOCK_STORE, why: expect.stringContaining("refused") }]);
    killWithCommand(holder);
    await holder.finished;
    await expect.poll(async () => (await list()).stdout, { timeout: 20_000 }).toContain('"stale"');
    const clear = await trainlock(["clear", "--root", site.root, "--no-dry-run"], { env });
    expect(clear).toMatchObject({ exitCode: 3, stdout: expect.stringContaining("Cleared 2 stale locks") });
    const empty = await trainlock(["list", "--root", site.root], { env });
    expect(empty).toMatchObject({ exitCode: 3, stdout: "Found no lock in what could be read; the store was not\n" });
  },
);
