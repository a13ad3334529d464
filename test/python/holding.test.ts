import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { pythonJob, pythonLocks } from "../support/peers.ts";
import { python, pythonSession, startPython } from "../support/python.ts";
import { replaceFile } from "../support/replace-file.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const test = requiresPrograms("python3");
const site = async () => configuration(await temporaryRoot());
const recordIn = (path: string) => JSON.parse(readFileSync(path, "utf8"));

test("the record is written for the Python process, and closed by its release", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("lock.acquire()");
  const { pid } = program.process;
  const ticks = Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[19]);
  expect(recordIn(of.kernelLock)).toMatchObject({ pid, trainlock: { start_time_ticks: ticks, released_at: null } });
  expect(recordIn(of.markerRecord)).toMatchObject({ pid, trainlock: { marker_inode: statSync(of.marker).ino } });
  expect(readFileSync(of.marker, "utf8")).toBe(`${pid}\n`);
  await program.tell("lock.release()");
  expect(existsSync(of.marker)).toBe(false);
  for (const path of [of.kernelLock, of.markerRecord]) {
    expect(recordIn(path).trainlock).toMatchObject({ exit_code: null, released_at: expect.any(String) });
  }
  expect((await trainlock(["list", "--root", of.root])).stdout).toBe("No active training locks\n");
});

test("`with` notes how it ended", async () => {
  const of = await site();
  const endings = [
    ["pass", 0],
    ["raise ValueError('diverged')", 1],
    ["raise KeyboardInterrupt", 130],
    ["sys.exit(7)", 7],
    ["sys.exit()", 0],
    ["sys.exit('no GPU')", 1],
    ["raise GeneratorExit", null],
    ["import asyncio; raise asyncio.CancelledError", null],
  ] as const;
  for (const [body, exitCode] of endings) {
    const script = `import sys\nfrom training_lock import *\nwith TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50'):\n    ${body}`;
    await python(of.root, script);
    expect(recordIn(of.kernelLock).trainlock, body).toMatchObject({
      exit_code: exitCode,
      released_at: expect.any(String),
    });
  }
});

test("blocks of one object inside each other hold it until the outermost ends, as functions that it decorates do", async () => {
  const of = await site();
  const script = `
import os, subprocess, sys
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
other = "from training_lock import *; print(TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire(), flush=True)"
def ask():
    subprocess.run([sys.executable, '-c', other], check=True)
@lock
def evaluate(): pass
@lock
def train():
    evaluate()
    try:
        with lock: raise ValueError
    except ValueError: pass
    ask()
train()
ask()
with lock:
    with lock.waiting(5): pass
    ask()
    lock.release()
    ask()
ask()
with lock: ask()
`;
  const { stdout, stderr } = await python(of.root, script, [], { env: { PYTHONUNBUFFERED: "1" } });
  expect(stdout, stderr).toBe("False\nTrue\nFalse\nTrue\nTrue\nFalse\n");
});

requiresPrograms("python3", "bash")(
  "a job script that writes the marker itself is named to the program in it",
  async () => {
    const of = await site();
    const ask = "from training_lock import *; print(TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire())";
    const job =
      'set -C; mkdir -p "$(dirname "$1")" && echo $$ >"$1" || exit; python3 -c "$2"; python3 -c "$2" & wait; rm "$1"';
    const script = `import subprocess, sys; subprocess.run(['bash', '-c', ${JSON.stringify(job)}, 'job', *sys.argv[1:]])`;
    const { stdout, stderr } = await python(of.root, script, [of.marker, ask]);
    expect(stdout).toBe("False\nFalse\n");
    expect(
      stderr.match(/is locked by PID \d+, in which this program runs: .*take the lines out of that script/g),
    ).toHaveLength(2);
    expect((await python(of.root, ask)).stdout).toBe("True\n");
  },
);

test("a lock lives until release, not until its object is dropped; the end of the interpreter releases it", async () => {
  const of = await site();
  const program = startPython(
    of.root,
    `
import gc, sys
from training_lock import *
TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()
gc.collect()
print('HELD', flush=True)
sys.stdin.read()
raise ValueError('an end in an exception')
`,
  );
  await program.waitFor("HELD");
  expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
  program.closeInput();
  expect((await program.finished).exitCode).toBe(1);
  expect(existsSync(of.marker)).toBe(false);
  expect(recordIn(of.kernelLock).trainlock.released_at).not.toBe(null);
});

test("killed by SIGKILL or ended by SIGTERM: free at once, and nothing is left to clear once another has had it", async () => {
  const of = await site();
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const program = pythonSession(of.root);
    expect(await program.tell("lock.acquire()")).toBe(true);
    program.process.kill(signal);
    await program.process.finished;
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0 });
    const next = pythonSession(of.root);
    expect(await next.tell("lock.acquire()")).toBe(true);
    expect(await next.tell("lock.release()")).toBe(null);
    expect((await trainlock(["list", "--root", of.root])).stdout).toBe("No active training locks\n");
  }
});

test("a record that other tools emptied is written again", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("lock.acquire()");
  const before = recordIn(of.kernelLock);
  const contender = pythonJob.start(of);
  expect((await contender.finished).stdout).toContain("SKIP");
  await until("the record", () => (readFileSync(of.kernelLock, "utf8").trim() === "" ? null : true));
  expect(recordIn(of.kernelLock)).toEqual(before);
  writeFileSync(of.kernelLock, "");
  expect(await program.tell("lock.assert_held()")).toBe(null);
  expect(recordIn(of.kernelLock)).toEqual(before);
});

test("a lock file or a marker that was removed is made again, and still excludes", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("lock.acquire()");
  rmSync(of.kernelLock);
  rmSync(of.marker);
  rmSync(of.markerRecord);
  expect(await program.tell("lock.assert_held()")).toBe(null);
  expect(readFileSync(of.marker, "utf8")).toBe(`${program.process.pid}\n`);
  expect(recordIn(of.markerRecord).trainlock.marker_inode).toBe(statSync(of.marker).ino);
  expect((await pythonJob.start(of).finished).stdout).toContain("SKIP");
  expect((await pythonLocks("is-locked", of.kernelLock)).stdout).toBe("LOCKED\n");
  expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
  await program.tell("lock.release()");
  expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
});

test("a lock file taken by another: lost is set, assert_held raises, and release spares the successor", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("lock.acquire()");
  const elsewhere = `${of.kernelLock}.new`;
  const successor = pythonJob.start({ ...of, kernelLock: elsewhere });
  await successor.waitFor("HELD");
  renameSync(elsewhere, of.kernelLock);
  expect(await program.raised("lock.assert_held()")).toMatch(/^LockLost: .*was removed, and somebody else has locked/);
  expect(await program.tell("lock.lost.is_set()")).toBe(true);
  await program.tell("lock.release()");
  expect((await pythonLocks("is-locked", of.kernelLock)).stdout).toBe("LOCKED\n");
});

test("a marker replaced by another's: lost is set without a call, and the marker stays", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("event = lock.lost");
  await program.tell("lock.acquire()");
  replaceFile(of.marker, "1\n");
  expect(await program.tell("event.wait(10)")).toBe(true);
  expect(await program.raised("lock.assert_held()")).toMatch(/^LockLost: .*is another's/);
  await program.tell("lock.release()");
  expect(readFileSync(of.marker, "utf8")).toBe("1\n");
  rmSync(of.marker);
  expect(await program.tell("[lock.acquire(), lock.lost.is_set(), lock.assert_held()]")).toEqual([true, false, null]);
});

test("assert_held without a lock raises, and after a release, too", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  expect(await program.raised("lock.assert_held()")).toMatch(/^LockLost: .*has not been acquired/);
  await program.tell("lock.acquire()");
  await program.tell("lock.release()");
  expect(await program.raised("lock.assert_held()")).toMatch(/^LockLost: /);
  expect(await program.tell("[lock.generation, lock.weights_dir]")).toEqual([null, null]);
});

test("a second object of this process is turned away with the way out; release_all takes it", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("lock.acquire()");
  await program.tell("second = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')");
  expect(await program.tell("second.acquire()")).toBe(false);
  expect(program.process.stderr()).toContain("held by this process since");
  expect(program.process.stderr()).toContain("training_lock.release_all()");
  expect(
    await program.tell("TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire(blocking=True, timeout=2)"),
  ).toBe(false);
  expect(program.process.stderr().split("training_lock.release_all()")).toHaveLength(3);
  await program.tell("training_lock.release_all()");
  expect(await program.tell("second.acquire()")).toBe(true);
  expect(await program.tell("lock.release()")).toBe(null);
  expect(await program.tell("second.assert_held()")).toBe(null);
});

test("of many threads with an object each one has it, and a thread's end releases nothing", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("import threading");
  await program.tell(
    "locks = [TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50') for _ in range(8)]; got = []; " +
      "threads = [threading.Thread(target=lambda l=l: got.append(l.acquire())) for l in locks]; " +
      "[t.start() for t in threads]; [t.join() for t in threads]",
  );
  expect(await program.tell("sorted(got)")).toEqual([...Array(7).fill(false), true]);
  expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
});

test("as a decorator", async () => {
  const of = await site();
  const script = `
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
@lock
def train(rounds, *, rate):
    "Trains."
    lock.assert_held()
    return rounds * rate
print(train(3, rate=2), train.__doc__, lock.generation)
`;
  expect((await python(of.root, script)).stdout).toBe("6 Trains. None\n");
});

test("1,000 cycles leave no descriptor, thread, child or variable, and memory does not grow", async () => {
  const of = await site();
  const cycles = process.env.TRAINLOCK_SOAK === undefined ? 25 : 1000;
  const script = `
import gc, os, threading
from training_lock import *
def cycle():
    lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
    assert lock.acquire()
    assert not TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()
    lock.assert_held()
    lock.release()
def seen():
    gc.collect()
    resident = int(open('/proc/self/statm').read().split()[1]) * 4
    children = [child for task in os.listdir('/proc/self/task')
                for child in open('/proc/self/task/{}/children'.format(task)).read().split()]
    return sorted(os.listdir('/proc/self/fd')), threading.active_count(), children, dict(os.environ), resident
for _ in range(20):
    cycle()
before = seen()
for _ in range(${cycles}):
    cycle()
after = seen()
assert before[:4] == after[:4], (before, after)
assert after[4] - before[4] < 1024, (before[4], after[4])
print('ok')
`;
  expect(await python(of.root, script, [], { timeoutMs: 300_000 })).toMatchObject({ stdout: "ok\n", exitCode: 0 });
}, 300_000);
