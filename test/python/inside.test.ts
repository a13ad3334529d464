import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { pythonEnvironment, pythonSession } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, trainlock } from "../support/trainlock.ts";

const test = requiresPrograms("python3");
const site = async () => configuration(await temporaryRoot());
const recordIn = (path: string) => JSON.parse(readFileSync(path, "utf8"));

/** `trainlock run` of a Python program. */
function underRun(of: TestConfiguration, script: string, before: readonly string[] = []) {
  return finish(executable, ["run", ...of.args, "--", ...before, "python3", "-c", script], {
    env: pythonEnvironment(of.root),
    timeoutMs: 30_000,
  });
}

const lock =
  "from training_lock import *\nimport os, subprocess, sys, time\nlock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')\n";

test("an old program that locks itself trains inside run, under run's claim", async () => {
  const of = await site();
  const script = `${lock}
with lock:
    lock.assert_held()
    print(lock.generation == int(os.environ['TRAINLOCK_GENERATION']), lock.weights_dir == __import__('pathlib').Path(os.environ['TRAINLOCK_WEIGHTS_DIR']))
    print(lock.get_lock_holder()['pid'] == int(os.environ['TRAINLOCK_PID']), lock.is_locked(), lock.lost.is_set())
print(lock.acquire(), lock.release(), lock.acquire())
`;
  const ended = await underRun(of, script);
  expect(ended).toMatchObject({ exitCode: 0, stdout: "True True\nTrue False False\nTrue None True\n" });
  const record = recordIn(of.kernelLock);
  expect(record.trainlock).toMatchObject({ generation: 1, exit_code: 0, ends: { last_end: "done" } });
  expect(readdirSync(of.lockDir).filter((name) => name !== "history")).toEqual([
    "baseline_idd_aw_deeplabv3plus_r50.lock",
  ]);
});

test("however it is started: by a shell, in a session of its own, with closed descriptors", async () => {
  for (const before of [
    ["sh", "-c", '"$@"; exit $?', "sh"],
    ["setsid", "--wait"],
  ]) {
    const of = await site();
    expect(await underRun(of, `${lock}print(lock.acquire())`, before)).toMatchObject({ stdout: "True\n", exitCode: 0 });
  }
});

test("a second object, a second process and a forked child inside the same run are turned away, until the first is done", async () => {
  const of = await site();
  const script = `${lock}
def other():
    code = "from training_lock import *; print(TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire())"
    return subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE).stdout.decode().strip()
assert lock.acquire()
print(TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire(), other())
child = os.fork()
if child == 0:
    os._exit(3 if TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire() else 4)
print(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
lock.assert_held()
lock.release()
print(other(), lock.acquire())
`;
  expect((await underRun(of, script)).stdout).toBe("False False\n4\nTrue True\n");
});

test("each rank of a launch trains once under the claim around it", async () => {
  const of = await site();
  const script = `${lock}
code = "from training_lock import *; import sys; l = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50'); print(l.acquire(), flush=True); sys.stdin.read()"
def rank(number):
    env = dict(os.environ, RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE='2', LOCAL_WORLD_SIZE='2', MASTER_ADDR='localhost', MASTER_PORT='29500')
    return subprocess.Popen([sys.executable, '-c', code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
ranks = [rank(0), rank(1)]
print([r.stdout.readline().decode().strip() for r in ranks])
again = rank(1)
print(again.communicate()[0].decode().strip())
for r in ranks: r.communicate()
`;
  expect((await underRun(of, script)).stdout).toBe("['True', 'True']\nFalse\n");
});

test("the variables of a run alone let nobody in", async () => {
  const of = await site();
  const holder = startProcess(
    executable,
    ["run", ...of.args, "--", "sh", "-c", "env | grep ^TRAINLOCK_; echo ALL; exec cat"],
    {
      env: pythonEnvironment(of.root),
    },
  );
  await holder.waitFor("ALL");
  const variables = Object.fromEntries(
    holder
      .stdout()
      .split("\n")
      .filter((line) => line.includes("="))
      .map((line) => line.split("=", 2)),
  );
  const stranger = pythonSession(of.root, { env: variables });
  expect(await stranger.tell("lock.acquire()")).toBe(false);
  holder.closeInput();
  await holder.finished;
  expect(await stranger.tell("lock.acquire()")).toBe(true);
});

test("another configuration inside a run is a claim of its own", async () => {
  const of = await site();
  const script = `${lock}
other = TrainingLock('gen_X', 'IDD-AW', 'deeplabv3plus_r50', 0.5)
print(other.acquire(), other.get_lock_holder()['pid'] == os.getpid())
`;
  expect((await underRun(of, script)).stdout).toBe("True True\n");
});

test("a claim around that is taken away: assert_held raises, lost is set", async () => {
  const of = await site();
  const script = `${lock}
assert lock.acquire()
lock.assert_held()
os.rename(str(lock.lock_file), str(lock.lock_file) + '.away')
open(str(lock.lock_file), 'w').write('{}')
os.unlink(str(lock.weights_dir / '.training_lock.json'))
try:
    lock.assert_held()
except LockLost:
    print('lost', lock.lost.is_set())
`;
  const ended = await finish(executable, ["run", "--on-lost", "warn", ...of.args, "--", "python3", "-c", script], {
    env: pythonEnvironment(of.root),
  });
  expect(ended.stdout).toBe("lost True\n");
});

test("a program that a Python program starts by lock.run trains under its claim; one by subprocess does not", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("lock.acquire()");
  const inner = `[sys.executable, '-c', "from training_lock import *; l = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50'); print(l.acquire(), l.generation)"]`;
  expect(await program.tell(`lock.run(${inner}, stdout=subprocess.PIPE).stdout.decode()`)).toBe("True 1\n");
  expect(await program.tell(`subprocess.run(${inner}, stdout=subprocess.PIPE).stdout.decode()`)).toBe("False None\n");
  expect(await program.tell("lock.assert_held()")).toBe(null);
});

test("under run and lock.run together, too", async () => {
  const of = await site();
  const script = `${lock}
assert lock.acquire()
code = "from training_lock import *; l = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50'); print(l.acquire(), l.generation)"
print(lock.run([sys.executable, '-c', code], stdout=subprocess.PIPE).stdout.decode().strip())
print(subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE).stdout.decode().strip())
`;
  expect((await underRun(of, script)).stdout).toBe("True 1\nFalse None\n");
});

test("how `with` ends is counted as run counts it: attempts, interruptions, checkpoints", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  const end = async (raised: string, checkpoint?: string) => {
    const body = [
      ...(checkpoint === undefined ? [] : [`(lock.weights_dir / '${checkpoint}').write_text('x')`]),
      ...(raised === "" ? [] : [raised]),
      "pass",
    ];
    await program.tell(`try:\n    with lock:\n        ${body.join("\n        ")}\nexcept BaseException: pass`);
    return recordIn(of.kernelLock).trainlock.ends;
  };
  expect(await end("raise ValueError")).toMatchObject({
    attempts: 1,
    interruptions: 0,
    last_end: "failed",
    last_exit: 1,
  });
  expect(await end("raise ValueError")).toMatchObject({ attempts: 2 });
  expect(await end("raise KeyboardInterrupt", "iter_1.pth")).toMatchObject({
    ...{
      attempts: 2,
      interruptions: 1,
      fruitless: 0,
      last_end: "interrupted",
      last_exit: 130,
      checkpoint: "iter_1.pth",
    },
  });
  expect(await end("raise KeyboardInterrupt")).toMatchObject({
    interruptions: 2,
    fruitless: 1,
    checkpoint: "iter_1.pth",
  });
  expect(await end("")).toMatchObject({ attempts: 0, interruptions: 0, last_end: "done", last_exit: 0 });
  expect((await end("")).seconds).toBeGreaterThanOrEqual(0);
  const before = recordIn(of.kernelLock).trainlock.ends;
  await program.tell("lock.acquire()");
  await program.tell("lock.release()");
  expect(recordIn(of.kernelLock).trainlock.ends).toEqual(before);
  await program.tell("lock.acquire()");
  program.process.kill("SIGKILL");
  await program.process.finished;
  await trainlock(["run", ...of.args, "--", "false"]);
  expect(recordIn(of.kernelLock).trainlock.ends).toMatchObject({ attempts: 1, interruptions: 1, last_end: "failed" });
});

test("release(done=True) is a success", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("lock.acquire()");
  writeFileSync(join(of.weightsDir, "iter_5.pth"), "x");
  await program.tell("lock.release(done=True)");
  expect(recordIn(of.markerRecord).trainlock).toMatchObject({
    ...{ exit_code: 0, ends: { last_end: "done", last_exit: 0, checkpoint: "iter_5.pth" } },
  });
});
