import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { peers } from "../support/peers.ts";
import { pythonSession } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, holdWithRun, trainlock } from "../support/trainlock.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";

const test = requiresPrograms("python3");
const site = async () => configuration(await temporaryRoot());

describe.each(peers)("$title", (peer) => {
  const testWith = requiresPrograms("python3", ...peer.needs);

  testWith("and a Python program exclude each other, whoever comes first", async () => {
    const of = await site();
    const program = pythonSession(of.root);
    const job = peer.start(of);
    await job.waitFor("HELD");
    expect(await program.tell("lock.acquire()")).toBe(false);
    expect(await program.raised("lock.__enter__()")).toMatch(
      /^LockHeld: baseline\/idd-aw\/deeplabv3plus_r50 is already/,
    );
    expect(await program.tell("lock.is_locked()")).toBe(true);
    job.closeInput();
    await job.finished;

    expect(await program.tell("lock.acquire()")).toBe(true);
    const second = peer.start(of);
    expect((await second.finished).stdout).toContain("SKIP");
    expect(await program.tell("lock.assert_held()")).toBe(null);
    expect(await program.tell("lock.release()")).toBe(null);
    const third = peer.start(of);
    await third.waitFor("HELD");
  });
});

test("run and a Python program exclude each other, whoever comes first", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  const run = await holdWithRun(of.args);
  expect(await program.tell("lock.acquire()")).toBe(false);
  expect(await program.tell("lock.get_lock_holder()['pid']")).toBe(run.pid);
  run.closeInput();
  await run.finished;
  expect(await program.tell("lock.acquire()")).toBe(true);
  expect(await program.tell("lock.generation")).toBe(2);
  const late = await trainlock(["run", ...of.args, "--", "echo", "trained"]);
  expect(late).toMatchObject({ exitCode: 75, stdout: "" });
  expect(late.stderr).toContain(`PID: ${program.process.pid}`);
  expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
  await program.tell("lock.release()");
  expect(await trainlock(["run", ...of.args, "--", "echo", "trained"])).toMatchObject({
    exitCode: 0,
    stdout: "trained\n",
  });
});

test("the library and a Python program exclude each other, whoever comes first", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  const library = startProcess(
    process.execPath,
    [resolve("test/library/holder.mjs"), resolve("dist/lib/index.js"), of.root],
    {
      env: environment(),
    },
  );
  const said = async (word: string, answer: string) => {
    library.writeLine(word);
    await library.waitFor(answer);
  };
  await said("acquire", "acquired\n");
  expect(await program.tell("lock.acquire()")).toBe(false);
  await said("release", "released\n");
  expect(await program.tell("lock.acquire()")).toBe(true);
  await said("acquire", "busy\n");
});

test("two Python programs exclude each other, and each other's configurations do not", async () => {
  const of = await site();
  const [one, other] = [pythonSession(of.root), pythonSession(of.root)];
  expect(await one.tell("lock.acquire()")).toBe(true);
  expect(await other.tell("lock.acquire()")).toBe(false);
  expect(await other.tell("TrainingLock('baseline', 'IDD-AW', 'pspnet_r50').acquire()")).toBe(true);
  expect(await other.tell("TrainingLock('baseline', 'ACDC', 'deeplabv3plus_r50', stage=1).acquire()")).toBe(true);
  expect(await other.tell("[l['status'] for l in list_all_locks()]")).toEqual(Array(6).fill("active"));
  expect(await other.tell("len(list_active_locks()) + len(list_weights_dir_locks())")).toBe(6);
});

test("with lock_primitive: ofd a Python program and run exclude each other", async () => {
  const of = await site();
  writeFileSync(join(of.root, "trainlock.yaml"), "lock_primitive: ofd\n");
  const program = pythonSession(of.root);
  const run = await holdWithRun(of.args);
  expect(await program.tell("lock.acquire()")).toBe(false);
  run.closeInput();
  await run.finished;
  expect(await program.tell("lock.acquire()")).toBe(true);
  expect(await program.tell("lock.assert_held()")).toBe(null);
  expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
  await program.tell("lock.release()");
  expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
});

requiresPrograms(
  "python3",
  "unshare --mount",
  "perl",
)("without kernel locks the marker excludes: of Python programs, and of job scripts", async () => {
  const of = await site();
  // The executable alone asks what kind of file system it is.
  const [program, ...args] = lustreWithoutLocks(of.root).told;
  const wrapper = join(of.root, "trainlock-on-lustre");
  const quoted = args.map((text) => `'${text}'`).join(" ");
  writeFileSync(wrapper, `#!/bin/sh\nexec ${program} ${quoted} ${executable} "$@"\n`, { mode: 0o755 });
  const session = () => pythonSession(of.root, { env: { TRAINLOCK_BIN: wrapper } });
  const [one, other] = [session(), session()];
  expect(await one.tell("lock.acquire()")).toBe(true);
  expect(await one.tell("lock.pass_fds")).toEqual([]);
  expect(await other.tell("lock.acquire()")).toBe(false);
  expect(await one.tell("TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()")).toBe(false);
  expect(await one.tell("lock.assert_held()")).toBe(null);
  expect(await one.tell("lock.release()")).toBe(null);
  expect(await other.tell("lock.acquire()")).toBe(true);
  expect(await other.tell("lock.generation")).toBe(2);
  expect(await other.tell("lock.release()")).toBe(null);
  expect(await one.tell("[name for name in os.listdir(lock.lock_dir) if name != 'history']")).toEqual([]);
});

test("a wait ends when the lock is free, and the next generation has it", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  const run = await holdWithRun(of.args);
  const waiting = program.tell("lock.acquire(blocking=True, timeout=30)");
  run.closeInput();
  expect(await waiting).toBe(true);
  expect(await program.tell("lock.generation")).toBe(2);
});

test("a wait for a job script's marker ends when it is gone; one in vain raises LockTimeout with its holder", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  const [script] = peers;
  const job = script?.start(of);
  await job?.waitFor("HELD");
  expect(await program.raised("lock.waiting(0.3).__enter__()")).toMatch(/^LockTimeout: .*PID \d+/);
  const waiting = program.tell("lock.waiting().__enter__() is lock");
  job?.closeInput();
  expect(await waiting).toBe(true);
});
