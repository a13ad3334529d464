import { expect } from "vitest";
import { pythonEnvironment, pythonSession } from "../support/python.ts";
import { finish, startProcess } from "../support/running-process.ts";
import { executable, holdWithRun, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { etcdTest, type StoreSite, storeSite } from "./store.ts";

const session = (site: StoreSite) => pythonSession(site.root, { env: site.env });
const held = async (site: StoreSite) => (await site.etcd.get(site.lockKey)).entry !== null;

etcdTest(
  "a Python program has a lock on etcd once, with run, in both orders; others see it; assert_held asks the store",
  async () => {
    const site = await storeSite();
    const [one, other] = [session(site), session(site)];
    expect(await one.tell("lock.acquire()")).toBe(true);
    expect(await one.tell("lock.assert_held()")).toBe(null);
    expect(await one.tell("TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()")).toBe(false);
    expect(await other.tell("lock.acquire()")).toBe(false);
    expect(await other.tell("lock.get_lock_holder()['pid']")).toBe(one.process.pid);
    expect(await other.tell("sorted((l['kind'], l['status']) for l in list_all_locks())")).toEqual(
      ["etcd", "fcntl", "file"].map((kind) => [kind, "active"]),
    );
    expect(await trainlock(["run", ...site.args, "--", "true"], { env: site.env })).toMatchObject({ exitCode: 75 });
    const held = "lock.run([os.environ['TRAINLOCK_BIN'], 'held']).returncode";
    expect(await one.tell(held)).toBe(0);
    expect(await one.tell("lock.release()")).toBe(null);
    const run = await holdWithRun(site.args, { env: site.env });
    expect(await one.tell("lock.acquire()")).toBe(false);
    run.closeInput();
    await run.finished;
    expect(await other.tell("lock.acquire(blocking=True, timeout=20)")).toBe(true);
    expect(await other.tell("lock.release(done=True)")).toBe(null);
    // Its keeper notes it for the program, and may do so after the program has its answer.
    const ended = { state: "done", pid: other.process.pid, exit: 0 };
    const history = async () => JSON.parse((await trainlock(["history", "--root", site.root, "--json"])).stdout).rows;
    await until(
      "its end in the history",
      async () =>
        (await history()).find(({ state, pid }: typeof ended) => state === ended.state && pid === ended.pid) ?? null,
    );
    // A row of a grid is looked at again under the claim: its last run is a success by now.
    await one.tell("lock.row = {'done': {'when': [], 'minSize': 1024, 'file': None}, 'maxAttempts': 1}");
    expect(await one.tell("lock.acquire(), lock._claim.settled['state'], lock.release()")).toEqual([
      true,
      "done",
      null,
    ]);
    expect((await trainlock(["list", "--root", site.root], { env: site.env })).stdout).toBe(
      "No active training locks\n",
    );
  },
);

etcdTest(
  "no child of the program is left behind; killed by SIGKILL it is free once the last worker is gone",
  async () => {
    const site = await storeSite();
    const program = session(site);
    await program.tell("lock.acquire()");
    const children =
      "[c for t in os.listdir('/proc/self/task') for c in open('/proc/self/task/%s/children' % t).read().split()]";
    expect(await program.tell(children)).toEqual([]);
    await program.tell("worker = os.fork()\nif worker == 0:\n    time.sleep(60)");
    const worker = Number(await program.tell("worker"));
    program.process.kill("SIGKILL");
    await program.process.finished;
    expect(await held(site)).toBe(true);
    expect(await session(site).tell("lock.acquire()")).toBe(false);
    process.kill(worker, "SIGKILL");
    await until("the key to be gone", async () => ((await held(site)) ? null : true), 20_000);
    expect(await session(site).tell("lock.acquire()")).toBe(true);
  },
);

etcdTest("a key that is deleted under it: lost", async () => {
  const site = await storeSite();
  const program = session(site);
  await program.tell("lock.acquire()");
  // As another claim does: without that it is claimed again.
  await site.etcdctl("put", site.lockKey.replace("/locks/", "/last/"), "another's");
  await site.etcdctl("del", site.lockKey);
  await site.etcdctl("put", site.lockKey, "another's");
  expect(await program.raised("lock.assert_held()")).toMatch(/^LockLost: /);
  expect(await program.tell("lock.release()")).toBe(null);
});

etcdTest("its keeper killed: lost within moments, and free for others", async () => {
  const site = await storeSite();
  const program = session(site);
  await program.tell("lock.acquire()");
  process.kill(Number(await program.tell("lock._claim.told['keeper_pid']")), "SIGKILL");
  expect(await program.tell("lock.lost.wait(10)")).toBe(true);
  expect(await program.raised("lock.assert_held()")).toMatch(/^LockLost: .*has ended/);
});

etcdTest("no store that answers: LockUnavailable, never locked", async () => {
  const site = await storeSite();
  const program = pythonSession(site.root, { env: { TRAINLOCK_STORE: "etcd://127.0.0.1:1/trainlock" } });
  expect(await program.raised("lock.acquire()")).toMatch(/^LockUnavailable: /);
});

etcdTest("inside run a program that locks itself trains under run's claim, one at a time", async () => {
  const site = await storeSite();
  const script =
    "from training_lock import *; import os, subprocess, sys; code = sys.argv[1]; " +
    "l = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50'); print(l.acquire(), l.assert_held(), l.generation == int(os.environ['TRAINLOCK_GENERATION']), flush=True); " +
    "print(subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE).stdout.decode().strip())";
  const other = "from training_lock import *; print(TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire())";
  const { stdout } = await finish(executable, ["run", ...site.args, "--", "python3", "-c", script, other], {
    env: pythonEnvironment(site.root, site.env),
  });
  expect(stdout).toBe("True None True\nFalse\n");
});

etcdTest("inside run assert_held asks the store for the claim of run", async () => {
  const site = await storeSite();
  const script = `
import sys, training_lock
lock = training_lock.TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
print(lock.acquire(), lock.assert_held(), flush=True)
for line in sys.stdin:
    try: print(lock.assert_held(), flush=True)
    except training_lock.LockLost as error: print('LOST', error, flush=True)`;
  const run = startProcess(executable, ["run", ...site.args, "--on-lost", "warn", "--", "python3", "-c", script], {
    env: pythonEnvironment(site.root, site.env),
  });
  await run.waitFor("True None");
  await site.etcdctl("put", site.lockKey.replace("/locks/", "/last/"), "another");
  await site.etcdctl("del", site.lockKey);
  run.writeLine("is it held?");
  await run.waitFor("LOST");
  run.closeInput();
  expect(await run.finished).toMatchObject({ stdout: expect.stringMatching(/LOST .* is gone\n$/), exitCode: 0 });
});
