import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { configuration } from "../support/configuration.ts";
import { python, pythonFolder, pythonSession, startPython } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, holdWithRun, trainlock } from "../support/trainlock.ts";

const test = requiresPrograms("python3");
const site = async () => configuration(await temporaryRoot());
const free = async (of: Awaited<ReturnType<typeof site>>) => (await trainlock(["check", ...of.args])).exitCode === 0;

/** A script in the executable's place. */
async function standIn(script: string): Promise<string> {
  const path = join(await temporaryRoot(), "trainlock");
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

test("importing needs no root; asking without one says how to name it, and is no `locked`", async () => {
  const program = pythonSession("");
  expect(await program.tell("training_lock.DEFAULT_LOCK_DIR")).toBe("");
  for (const call of ["lock.acquire()", "lock.is_locked()", "lock.__enter__()", "list_all_locks()"]) {
    expect(await program.raised(call)).toMatch(
      /^LockUnavailable: no root: give root=DIR or .*TRAINLOCK_ROOT, AWARE_DATA_ROOT, PROVE_ROOT/,
    );
  }
  const root = await temporaryRoot();
  expect(await program.tell(`TrainingLock('a', 'b', 'c', root='${root}').acquire()`)).toBe(true);
  expect(await program.tell(`os.environ.update(PROVE_ROOT='${root}')`)).toBe(null);
  expect(await program.tell("lock.acquire()")).toBe(true);
});

test("a lock_dir alone names the root that it lies in", async () => {
  const of = await site();
  const program = pythonSession("");
  const made = `TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50', lock_dir='${of.lockDir}')`;
  expect(await program.tell(`${made}.acquire()`)).toBe(true);
  expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
  expect(await program.tell(`len(list_active_locks('${of.lockDir}'))`)).toBe(1);
});

test("a fifth argument with a slash, or a Path, is lock_dir, with one warning; numpy's numbers are numbers", async () => {
  const of = await site();
  const script = `
import sys, warnings
from pathlib import Path
from training_lock import *
class Float32(object):
    def __float__(self): return 0.10000000149011612
    def __str__(self): return '0.1'
class Scalar(object):
    def __float__(self): return 0.5
    def __str__(self): return 'tensor(0.5)'
class Int64(object):
    def __index__(self): return 2
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    named = [TrainingLock('a', 'b', 'c', None, where) for where in (sys.argv[1], Path(sys.argv[1]))]
print([w.category.__name__ for w in caught], [str(lock.lock_file) for lock in named] == [sys.argv[1] + '/a_b_c.lock'] * 2)
lock = TrainingLock('a', 'b', 'c', Float32(), stage=Int64())
print(lock.lock_file.name, lock.acquire(), lock.get_lock_holder()['ratio'])
print(TrainingLock('a', 'b', 'c', Scalar()).ratio)
import copy, pickle
for other in (copy.deepcopy(lock), pickle.loads(pickle.dumps(lock))):
    print(other.lock_file == lock.lock_file, other.acquire(), other.release(), lock.assert_held())
`;
  const ended = await python(of.root, script, [`${of.root}/locks`]);
  expect(ended.stdout).toBe(
    "['DeprecationWarning', 'DeprecationWarning'] True\ns2_a_b_c_ratio0p10.lock True 0.1\n0.5\nTrue False None None\nTrue False None None\n",
  );
});

test("no executable: the error names all four places", async () => {
  const of = await site();
  const program = pythonSession(of.root, { env: { TRAINLOCK_BIN: "", PATH: "/usr/bin:/bin" } });
  const text = await program.raised("lock.acquire()");
  expect(text).toMatch(/^LockUnavailable: .*TRAINLOCK_BIN is not set/);
  for (const place of [`${pythonFolder}/trainlock`, "PATH has none", `${of.root}/bin/trainlock`])
    expect(text).toContain(place);
  mkdirSync(join(of.root, "bin"));
  symlinkSync(executable, join(of.root, "bin", "trainlock"));
  expect(await program.tell("lock.acquire()")).toBe(true);
});

test("the executable beside the file, in PATH, and a TRAINLOCK_BIN that is none", async () => {
  const of = await site();
  const folder = await temporaryRoot();
  copyFileSync(join(pythonFolder, "training_lock.py"), join(folder, "training_lock.py"));
  symlinkSync(executable, join(folder, "trainlock"));
  const beside = pythonSession(of.root, { env: { TRAINLOCK_BIN: "", PYTHONPATH: folder } });
  expect(await beside.tell("training_lock._executable()")).toBe(join(folder, "trainlock"));
  const inPath = pythonSession(of.root, { env: { TRAINLOCK_BIN: "", PATH: `${folder}:${process.env.PATH}` } });
  expect(await inPath.tell("lock.acquire()")).toBe(true);
  const wrong = pythonSession(of.root, { env: { TRAINLOCK_BIN: "/nowhere/trainlock" } });
  expect(await wrong.raised("lock.acquire()")).toMatch(/'\/nowhere\/trainlock', which cannot be executed/);
});

const brokenExecutables: Readonly<Record<string, readonly [string, RegExp]>> = {
  "an older one": [
    'echo "trainlock: unknown command \\"__python\\"" >&2; exit 2',
    /is older than this training_lock.py/,
  ],
  "one that says nothing": ["exit 0", /has not answered/],
  "one that fails": ["echo 'no such library' >&2; exit 127", /has not answered: no such library/],
  "one that answers somebody else": ['read x; echo \'{"say":"held","token":"0"}\'', /has not answered/],
  "one that answers no JSON": ["read x; echo held", /has not answered/],
  "one that answers half a line": ['read x; printf \'{"say":"he\'', /has not answered/],
  "a newer one": [
    `read x; exec 3>&1; echo "$x" | sed 's/"protocol": 1/"protocol": 9/' | "${executable}" __python`,
    /has not answered|speaks version/,
  ],
};

for (const [what, [script, says]] of Object.entries(brokenExecutables)) {
  test(`an executable that is ${what}: LockUnavailable, never True or False`, async () => {
    const of = await site();
    const program = pythonSession(of.root, { env: { TRAINLOCK_BIN: await standIn(script) } });
    for (const call of ["lock.acquire()", "lock.is_locked()"]) {
      const text = await program.raised(call);
      expect(text).toMatch(/^LockUnavailable: /);
      expect(text).toMatch(says);
    }
    expect(await free(of)).toBe(true);
  });
}

test("a file that speaks another version than the executable is told which of the two is older", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("training_lock._PROTOCOL = 0");
  expect(await program.raised("lock.acquire()")).toMatch(/^LockUnavailable: .*version 0 .*the file is older/);
  await program.tell("training_lock._PROTOCOL = 2");
  expect(await program.raised("lock.acquire()")).toMatch(/^LockUnavailable: .*version 2 .*the executable is older/);
});

test("a configuration that is none is a ValueError that names the value", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  for (const [given, named] of [
    ["TrainingLock('a/b', 'IDD-AW', 'm')", '"a/b"'],
    ["TrainingLock('', 'IDD-AW', 'm')", "--strategy"],
    ["TrainingLock('a', '..', 'm')", '".."'],
    ["TrainingLock(None, 'b', 'm')", "strategy None is not a name"],
    ["TrainingLock('a', b'b', 'm')", "dataset b'b' is not a name"],
    ["TrainingLock('a', 'b', 'm', 1.5)", "1.5"],
    ["TrainingLock('a', 'b', 'm', float('nan'))", "nan"],
    ["TrainingLock('a', 'b', 'm', stage='a/b')", "a/b"],
    ["TrainingLock('a', 'b', 'm', stage=-1)", "-1"],
  ] as const) {
    const text = await program.raised(`${given}.acquire()`);
    expect(text, given).toMatch(/^ValueError: /);
    expect(text, given).toContain(named);
  }
});

test("a file where the lock file belongs that is none, a link, a folder without permission: LockUnavailable with the way out", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  mkdirSync(of.lockDir);
  symlinkSync("/etc/passwd", of.kernelLock);
  expect(await program.raised("lock.acquire()")).toMatch(/^LockUnavailable: cannot open the lock file .*ELOOP/);
  writeFileSync(join(of.lockDir, "other.lock"), "");
  expect(readFileSync("/etc/passwd", "utf8")).toContain("root:");
  const other = configuration(of.root, "gen_X");
  mkdirSync(other.kernelLock);
  expect(await program.raised("TrainingLock('gen_X', 'IDD-AW', 'deeplabv3plus_r50').acquire()")).toMatch(
    /^LockUnavailable: .*not a regular file/,
  );
});

test("with SIGCHLD ignored, handled, and every child reaped by a handler of the program", async () => {
  const of = await site();
  for (const handling of [
    "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "def reap(*_):\n    try:\n        while os.waitpid(-1, os.WNOHANG)[0]: pass\n    except ChildProcessError: pass\nsignal.signal(signal.SIGCHLD, reap)",
  ]) {
    const script = `
import os, signal
from training_lock import *
${handling}
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
assert not lock.is_locked()
with lock:
    assert not TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()
    assert len(list_all_locks()) == 2
    lock.assert_held()
try:
    TrainingLock('a/b', 'c', 'd').acquire()
except ValueError:
    print('ok')
`;
    expect(await python(of.root, script)).toMatchObject({ stdout: "ok\n", exitCode: 0 });
    const run = await holdWithRun(of.args);
    const locked = `from training_lock import *\nimport os, signal\n${handling}\nlock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')\nprint(lock.acquire(), lock.is_locked(), preflight_check('baseline', 'IDD-AW', 'deeplabv3plus_r50'))`;
    expect((await python(of.root, locked)).stdout).toBe("False True False\n");
    run.closeInput();
    await run.finished;
  }
});

for (const [moment, script, patch] of [
  ["before the executable has begun", `touch "$ASKED"; sleep 0.5; exec "${executable}" "$@"`, ""],
  [
    "after the claim was made",
    `exec "${executable}" "$@"`,
    `
begin = training_lock._Claim.begin
def slow(claim):
    begin(claim)
    open(os.environ['ASKED'], 'w').close()
    time.sleep(0.5)
training_lock._Claim.begin = slow
`,
  ],
] as const) {
  test(`Ctrl-C in acquire ${moment}: raised, and what was claimed is given up`, async () => {
    const of = await site();
    const program = startPython(
      of.root,
      `
import os, signal, sys, threading, time
import training_lock
from training_lock import *
${patch}
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
def interrupt():
    while not os.path.exists(os.environ['ASKED']):
        time.sleep(0.01)
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
threading.Thread(target=interrupt, daemon=True).start()
try:
    print('acquired', lock.acquire(), flush=True)
except KeyboardInterrupt:
    print('interrupted', lock.generation, flush=True)
except LockUnavailable as error:
    print('unavailable', error, flush=True)
sys.stdin.read()
`,
      [],
      { env: { TRAINLOCK_BIN: await standIn(script), ASKED: join(of.root, "asked") } },
    );
    await program.waitFor("\n");
    expect(program.stdout()).toBe("interrupted None\n");
    expect(await free(of)).toBe(true);
    const { trainlock: section } = JSON.parse(readFileSync(of.kernelLock, "utf8"));
    expect(section).toMatchObject({ generation: 1, released_at: expect.any(String) });
    expect(existsSync(of.marker)).toBe(false);
  });
}

test("Ctrl-C while it waits for another: raised at once, and nothing is held", async () => {
  const of = await site();
  const run = await holdWithRun(of.args);
  const program = pythonSession(of.root);
  await program.tell("import _thread, threading");
  await program.tell("threading.Timer(0.5, _thread.interrupt_main).start()");
  expect(await program.raised("lock.acquire(blocking=True, timeout=-1)")).toMatch(/^KeyboardInterrupt/);
  run.closeInput();
  await run.finished;
  expect(await free(of)).toBe(true);
});

test("the file passes commands on: texts and exit codes are those of the executable", async () => {
  const of = await site();
  const run = await holdWithRun(of.args);
  const file = join(pythonFolder, "training_lock.py");
  const call = (...args: string[]) =>
    python(of.root, "import os, sys; os.execv(sys.executable, [sys.executable] + sys.argv[1:])", [file, ...args]);
  const configured = ["--strategy", of.strategy, "--dataset", of.dataset, "--model", of.model];
  const calls = [
    ["list"],
    ["list", "--file-only"],
    ["clear"],
    ["check", ...configured],
    ["check", "--model", "x"],
    ["nonsense"],
  ];
  for (const args of calls) {
    const [passed, own] = [await call(...args), await trainlock(args, { env: { AWARE_DATA_ROOT: of.root } })];
    expect(passed, args.join(" ")).toEqual(own);
  }
  expect((await call("list")).stdout).toContain(`PID: ${run.pid}`);
});

test("preflight_check prints what check prints, its stage and its doubts included", async () => {
  const of = await site();
  const args = [...of.args, "--ratio", "0.5", "--aux-loss", "focal", "--stage", "2"];
  const run = await holdWithRun(args);
  const checked = await trainlock(["check", ...args]);
  const program = pythonSession(of.root);
  const call = "preflight_check('baseline', 'IDD-AW', 'deeplabv3plus_r50', 0.5, 'focal', 2)";
  expect(await program.tell(call)).toBe(false);
  expect(program.process.stderr()).toBe(checked.stderr);
  expect(checked.stderr).toContain("  Stage: 2\n");
  run.closeInput();
  await run.finished;
  expect(await pythonSession(of.root).tell(call)).toBe(true);
});

test("a job's id is in the record, and in what others are told", async () => {
  const of = await site();
  const program = pythonSession(of.root, { env: { LSB_JOBID: "123456" } });
  await program.tell("lock.acquire()");
  expect(await pythonSession(of.root).raised("lock.__enter__()")).toContain("by job 123456 on");
  const other = pythonSession(of.root, { env: { LSB_JOBID: "" } });
  await other.tell("TrainingLock('a', 'b', 'c').acquire()");
  const refused = await pythonSession(of.root).raised("TrainingLock('a', 'b', 'c').__enter__()");
  expect(refused).toMatch(/is already being trained by another job on \S+ since \S+ \(PID \d+\)$/);
  expect(await program.tell("lock.get_lock_holder()['job_id']")).toBe("123456");
});

test("with its standard streams closed: nothing that is printed gets into a lock file, and the dialogue is not disturbed", async () => {
  const of = await site();
  const script = `
import os, sys
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
out = os.fdopen(os.dup(1), 'w')
for fd in (0, 1, 2):
    os.close(fd)
acquired = lock.acquire()
taken = [fd for fd in (0, 1, 2) if os.path.exists('/proc/self/fd/{}'.format(fd))]
again = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()
os.unlink(str(lock.weights_dir / '.training_lock'))
lock.assert_held()
taken += [fd for fd in (0, 1, 2) if os.path.exists('/proc/self/fd/{}'.format(fd))]
print(acquired, again, taken, lock.is_locked(), len(list_all_locks()), lock.release(), file=out, flush=True)
os._exit(0)
`;
  expect((await python(of.root, script)).stdout).toBe("True False [] False 2 None\n");
  expect(await free(of)).toBe(true);
});

test("a worker that another thread forks during a claim that fails does not keep the lock", async () => {
  const of = await site();
  const script = `
import os, signal, sys, time
import training_lock
from training_lock import *
send = training_lock._send
def fork_and_kill(ours, message, fd=None):
    if fd is not None:
        # The lock is taken, and the executable does not live to give it up.
        worker = os.fork()
        if worker == 0:
            time.sleep(60)
            os._exit(0)
        print(worker, flush=True)
        for task in os.listdir('/proc/self/task'):
            for child in open('/proc/self/task/{}/children'.format(task)).read().split():
                if int(child) != worker:
                    os.kill(int(child), signal.SIGKILL)
    send(ours, message, fd)
training_lock._send = fork_and_kill
try:
    TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()
except LockUnavailable:
    print('unavailable', flush=True)
sys.stdin.read()
`;
  const program = startPython(of.root, script);
  await program.waitFor("unavailable\n");
  const worker = Number(/^\d+/.exec(program.stdout())?.[0]);
  onTestFinished(() => {
    if (isLiving(worker)) process.kill(worker, "SIGKILL");
  });
  expect(await pythonSession(of.root).tell("lock.acquire()")).toBe(true);
  expect(isLiving(worker)).toBe(true);
});

function isLiving(pid: number): boolean {
  return (
    pid > 1 && existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("python")
  );
}

test("a worker that is forked while another thread waits for the lock asks for itself, and does not hang", async () => {
  const of = await site();
  const run = await holdWithRun(of.args);
  const script = `
import os, signal, threading
import training_lock
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
waits = threading.Event()
sleep = training_lock._Waited._sleep
training_lock._Waited._sleep = staticmethod(lambda *a: (waits.set(), sleep(*a))[1])
threading.Thread(target=lambda: lock.acquire(True, -1), daemon=True).start()
waits.wait()
if os.fork() == 0:
    signal.alarm(30)
    print(lock.acquire(), flush=True)
    os._exit(0)
print(os.wait()[1], flush=True)
os._exit(0)
`;
  expect((await python(of.root, script)).stdout).toBe("False\n0\n");
  run.closeInput();
  await run.finished;
});

test("no descriptor left, a path that is no UTF-8, a lock dir that may not be read: LockUnavailable with the reason", async () => {
  const of = await site();
  const script = `
import os, resource
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
def ask(call):
    try:
        print(call())
    except LockUnavailable as error:
        print('LockUnavailable', error)
most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, most[1]))
ask(lock.acquire)
resource.setrlimit(resource.RLIMIT_NOFILE, most)
root = os.fsencode(os.environ['AWARE_DATA_ROOT']) + bytes([0xff])
os.mkdir(root)
ask(TrainingLock('a', 'b', 'c', root=os.fsdecode(root)).acquire)
os.rmdir(root)
print(lock.acquire(), lock.generation)
release_all()
print(lock.generation, lock.weights_dir)
`;
  const { stdout } = await python(of.root, script);
  expect(stdout.split("\n")).toEqual([
    expect.stringMatching(/^LockUnavailable .*Too many open files/),
    expect.stringMatching(/^LockUnavailable the path b'.*\\xff' is not valid UTF-8/),
    "True 1",
    "None None",
    "",
  ]);
});

test("is_locked of many configurations starts the executable once, and names what the executable names", async () => {
  const of = await site();
  const run = await holdWithRun(of.args);
  const calls = join(of.root, "calls");
  const counting = await standIn(`echo call >>"${calls}"; exec "${executable}" "$@"`);
  const program = pythonSession(of.root, { env: { TRAINLOCK_BIN: counting } });
  await program.tell(
    "made = [TrainingLock(s, d, m, r) for s in ('baseline', 'gen_x') for d in ('IDD-AW', 'b-D') for m in ('deeplabv3plus_r50', 'm.2+b') for r in (None, 0.125)]",
  );
  await program.tell(
    "made += [TrainingLock('a', 'B', 'c', 1, aux, stage) for aux in (None, 'focal') for stage in (1, '1', 0)]",
  );
  expect(await program.tell("[lock.lock_file.name for lock in made if lock.is_locked()]")).toEqual([
    "baseline_idd_aw_deeplabv3plus_r50.lock",
  ]);
  expect(readFileSync(calls, "utf8")).toBe("call\n");
  const known = "training_lock._snapshot(**lock._place())['usual_paths']";
  await program.tell(`same = [tuple(lock._usual_paths(${known})) == lock._resolve() for lock in made]`);
  expect(await program.tell("len(same), all(same)")).toEqual([22, true]);
  // Where a name is to be refused, or the site has folders of its own, the executable is asked.
  expect(await program.raised("TrainingLock('a/b', 'c', 'd').is_locked()")).toMatch(/^ValueError: .*"a\/b"/);
  run.closeInput();
  await run.finished;
  const file = join(of.root, "trainlock.yaml");
  writeFileSync(file, "weights: [OTHER/x]\n");
  const there = pythonSession(of.root);
  expect(await there.raised("lock.is_locked()")).toMatch(/^LockUnavailable: .*trainlock.yaml:1: weights/);
  writeFileSync(file, 'weights: [{ path: "OTHER/{strategy}/{dataset}/{model}{ratio}{aux_loss}" }]\n');
  expect(await there.tell("lock.acquire()")).toBe(true);
  const elsewhere = pythonSession(of.root);
  expect(await elsewhere.tell("lock.is_locked(), lock._resolve()[1]")).toEqual([
    true,
    join(of.root, "OTHER", "baseline", "IDD-AW", "deeplabv3plus_r50"),
  ]);
});
