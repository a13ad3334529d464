import { readFileSync, writeFileSync } from "node:fs";
import { expect, onTestFinished } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { pythonJob } from "../support/peers.ts";
import { pythonFolder, pythonSession, startPython } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import type { RunningProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const test = requiresPrograms("python3");
const site = async () => configuration(await temporaryRoot());

/** A program that holds the lock and says which processes it has started; it goes on until it is killed. */
async function startTraining(of: TestConfiguration, body: string) {
  const script = `
import multiprocessing, os, subprocess, sys, time
from training_lock import *
def work(*_):
    time.sleep(60)
if __name__ == '__main__':
    lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
${body.replace(/^/gm, "    ")}
    print('PIDS', *pids, flush=True)
    time.sleep(60)
`;
  const program = startPython(of.root, script);
  await program.waitFor("PIDS");
  await program.waitFor("\n");
  const pids = (/PIDS(.*)/.exec(program.stdout())?.[1] ?? "").trim().split(" ").filter(Boolean).map(Number);
  onTestFinished(() => {
    for (const pid of pids) if (isOurs(pid)) process.kill(pid, "SIGKILL");
  });
  return { program, pids };
}

function isOurs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`PYTHONPATH=${pythonFolder}`);
  } catch {
    return false;
  }
}

const isLocked = async (of: TestConfiguration) => (await trainlock(["check", ...of.args])).exitCode === 1;

async function kill(program: RunningProcess) {
  program.kill("SIGKILL");
  await program.finished;
}

/** What a program starts while it holds the lock, and that goes on when it is killed. */
const started: Readonly<Record<string, string>> = {
  "a forked worker": `
assert lock.acquire()
pid = os.fork()
if pid == 0:
    work()
pids = [pid]`,
  "multiprocessing by fork": `
assert lock.acquire()
workers = [multiprocessing.get_context('fork').Process(target=work) for _ in range(2)]
[w.start() for w in workers]
pids = [w.pid for w in workers]`,
  "the training in a subprocess": `
assert lock.acquire()
pids = [subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid]`,
  "the training in a session of its own": `
assert lock.acquire()
pids = [subprocess.Popen(['sleep', '60'], start_new_session=True).pid]`,
  "lock.popen with an environment of its own": `
assert lock.acquire()
pids = [lock.popen(['sleep', '60'], env={'PYTHONPATH': os.environ['PYTHONPATH']}).pid]`,
  "pass_fds alone": `
assert lock.acquire()
pids = [subprocess.Popen(['sleep', '60'], pass_fds=lock.pass_fds, env={'PYTHONPATH': os.environ['PYTHONPATH']}).pid]`,
};

for (const [what, body] of Object.entries(started)) {
  test(`${what}: the parent killed, the lock is held until the last one is gone, and list names the living`, async () => {
    const of = await site();
    const { program, pids } = await startTraining(of, body);
    await kill(program);
    expect(await isLocked(of)).toBe(true);
    expect(await pythonSession(of.root).tell("lock.acquire()")).toBe(false);
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    expect((await trainlock(["list", "-v", "--root", of.root])).stdout).toContain(String(pids[0]));
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await until("free", async () => ((await isLocked(of)) ? null : true));
    expect(await pythonSession(of.root).tell("lock.acquire()")).toBe(true);
  });
}

for (const method of ["spawn", "forkserver"]) {
  test(`multiprocessing by ${method}, begun after acquire: the parent killed, locked while a worker lives`, async () => {
    const of = await site();
    // Workers by spawn read the program again: it has to be a file.
    const folder = await temporaryRoot();
    const file = `${folder}/train.py`;
    writeFileSync(
      file,
      `
import multiprocessing, os, signal, sys, time
def work():
    # A worker that does not notice its parent's end, as those of forkserver.
    print('PID', os.getpid(), flush=True)
    time.sleep(60)
if __name__ == '__main__':
    from training_lock import TrainingLock
    lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
    assert lock.acquire()
    worker = multiprocessing.get_context('${method}').Process(target=work)
    worker.start()
    time.sleep(60)
`,
    );
    const program = startPython(of.root, `import os, sys; os.execv(sys.executable, [sys.executable, '${file}'])`);
    await program.waitFor("\n");
    const worker = Number(/PID (\d+)/.exec(program.stdout())?.[1]);
    onTestFinished(() => {
      if (isOurs(worker)) process.kill(worker, "SIGKILL");
    });
    await kill(program);
    expect(await isLocked(of)).toBe(true);
    expect((await trainlock(["list", "-v", "--root", of.root])).stdout).toContain(String(worker));
    if (isOurs(worker)) process.kill(worker, "SIGKILL");
    await until("free", async () => ((await isLocked(of)) ? null : true));
  });
}

test("release in the owner releases it for forked workers too; in a child it does nothing", async () => {
  const of = await site();
  const { program } = await startTraining(
    of,
    `
assert lock.acquire()
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    lock.assert_held()
    lock.release()
    release_all()
    assert lock.is_locked() and not lock.acquire()
    os.write(write, b'x')
    work()
os.read(read, 1)
lock.assert_held()
pids = [pid]
import threading
threading.Thread(target=lambda: (sys.stdin.read(), lock.release(), print('RELEASED', flush=True))).start()`,
  );
  expect(await isLocked(of)).toBe(true);
  program.closeInput();
  await program.waitFor("RELEASED");
  expect(await isLocked(of)).toBe(false);
  expect(await pythonSession(of.root).tell("lock.acquire()")).toBe(true);
});

test("a child that ends in any way leaves its parent's lock alone", async () => {
  const of = await site();
  const { program } = await startTraining(
    of,
    `
assert lock.acquire()
for end in ('os._exit(0)', 'sys.exit(0)', 'raise ValueError'):
    pid = os.fork()
    if pid == 0:
        os.close(2)
        exec(end)
    os.waitpid(pid, 0)
    lock.assert_held()
multiprocessing.get_context('fork').Pool(2).map(abs, [1, 2])
lock.assert_held()
pids = []`,
  );
  expect(await isLocked(of)).toBe(true);
  expect((await pythonJob.start(of).finished).stdout).toContain("SKIP");
  await kill(program);
});

test("os.execv: the new program is the same process, and its acquire goes on with the claim", async () => {
  const of = await site();
  const next = [
    "import sys; from training_lock import *",
    "lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')",
    "print('GOT', lock.acquire(), lock.generation, flush=True)",
    "lock.assert_held()",
    "sys.stdin.read(); lock.release(); print('RELEASED', flush=True); sys.stdin.read()",
  ].join("; ");
  const program = startPython(
    of.root,
    `
import os, sys
from training_lock import *
assert TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()
os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])
`,
    [next],
  );
  await program.waitFor("\n");
  expect(program.stdout()).toBe("GOT True 1\n");
  expect(await isLocked(of)).toBe(true);
  expect((await pythonJob.start(of).finished).stdout).toContain("SKIP");
  program.closeInput();
  await program.waitFor("RELEASED");
  expect(await isLocked(of)).toBe(false);
});

test("os.execv into a program without a lock keeps it; its end releases it", async () => {
  const of = await site();
  const program = startPython(
    of.root,
    `
import os, sys
from training_lock import *
assert TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()
os.execvp('sh', ['sh', '-c', 'echo GOT; exec cat'])
`,
  );
  await program.waitFor("GOT");
  expect(await isLocked(of)).toBe(true);
  program.closeInput();
  await program.finished;
  expect(await isLocked(of)).toBe(false);
});

test("lock.run gives its program what run gives a command: trainlock held says yes, and no once it is released", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  const held = "subprocess.run([os.environ['TRAINLOCK_BIN'], 'held'], stderr=subprocess.DEVNULL).returncode";
  await program.tell("lock.acquire()");
  expect(await program.tell(held.replace("subprocess.run", "lock.run"))).toBe(0);
  await program.tell("child = lock.popen(['sh', '-c', 'read x; exec \"$TRAINLOCK_BIN\" held'], stdin=subprocess.PIPE)");
  await program.tell("lock.release()");
  await program.tell("child.stdin.close()");
  expect(await program.tell("child.wait()")).toBe(1);
  expect(await program.raised("lock.run(['true'])")).toMatch(/^LockLost/);
});

test("doctor names what a program has started and does not hold its lock: a forkserver from before, a cleared environment", async () => {
  const of = await site();
  const folder = await temporaryRoot();
  const file = `${folder}/train.py`;
  writeFileSync(
    file,
    `
import multiprocessing, os, subprocess, time
def work():
    time.sleep(60)
if __name__ == '__main__':
    from training_lock import TrainingLock
    early = multiprocessing.get_context('forkserver')
    early.Process(target=work).start()
    lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
    assert lock.acquire()
    late = early.Process(target=work)
    late.start()
    few = {'PYTHONPATH': os.environ['PYTHONPATH']}
    cleared = subprocess.Popen(['sleep', '60'], env=few)
    handed_on = lock.popen(['sleep', '60'], env=few)
    usual = subprocess.Popen(['sleep', '60'])
    forked = os.fork()
    if forked == 0:
        work()
    print('PIDS', late.pid, cleared.pid, handed_on.pid, usual.pid, forked, flush=True)
    time.sleep(60)
`,
  );
  const program = startPython(of.root, `import os, sys; os.execv(sys.executable, [sys.executable, '${file}'])`);
  await program.waitFor("\n");
  const pids = program.stdout().trim().split(" ").slice(1).map(Number);
  onTestFinished(() => {
    for (const pid of pids) if (isOurs(pid)) process.kill(pid, "SIGKILL");
  });
  const [late = 0, cleared = 0, ...holders] = pids;
  const { stdout } = await trainlock(["doctor", "--root", of.root, "--json", "--config", "/dev/null"]);
  const findings: { check: string; subject: string; level: string; found: string }[] = JSON.parse(stdout).findings;
  const workers = findings.filter(({ check }) => check === "workers");
  const named = workers.map(({ found }) => Number(/^PID (\d+)/.exec(found)?.[1]));
  expect(named).toEqual(expect.arrayContaining([late, cleared]));
  for (const pid of holders) expect(named).not.toContain(pid);
  expect(workers[0]).toMatchObject({ subject: of.name, level: "warning" });
  await kill(program);
});
