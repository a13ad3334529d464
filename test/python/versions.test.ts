import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { otherInterpreters, python, pythonFolder } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

const test = requiresPrograms("python3");
const interpreters = [...otherInterpreters()];

test("trainlock python prints the file", async () => {
  const printed = await trainlock(["python"]);
  const script = `import sys\nprint(open(sys.argv[1]).read() == sys.argv[2])`;
  const same = await python("/", script, [`${pythonFolder}/training_lock.py`, printed.stdout]);
  expect([printed.exitCode, same.stdout]).toEqual([0, "True\n"]);
});

test("its syntax is that of Python 3.6, and it warns of nothing", async () => {
  const script = `
import ast, sys, warnings
warnings.simplefilter('error')
text = __import__('pathlib').Path(sys.argv[1]).read_text()
ast.parse(text, feature_version=(3, 6))
compile(text, 'training_lock.py', 'exec')
print('ok')
`;
  const checked = await python("/", script, [`${pythonFolder}/training_lock.py`]);
  expect(checked).toMatchObject({ stdout: "ok\n", stderr: "" });
});

/** All that differs between versions: subprocess, sockets, threads, forks, the environment. */
const program = `
import os, subprocess, sys, threading, time
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50', 0.5, stage=1)
assert not lock.is_locked() and lock.get_lock_holder() is None
with lock:
    lock.assert_held()
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0 if not lock.acquire() else 1)
    assert os.waitpid(child, 0)[1] == 0
    ended = lock.run([sys.executable, '-c', 'import os; print(os.environ["TRAINLOCK_GENERATION"])'], stdout=subprocess.PIPE)
    assert ended.stdout == b'1\\n', ended
    assert not TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50', 0.5, stage=1).acquire(True, 0.3)
    assert len(list_all_locks()) == 2
with lock.waiting(1):
    assert lock.generation == 2
assert list_all_locks() == [] and clear_stale_locks() == []
assert preflight_check('baseline', 'IDD-AW', 'deeplabv3plus_r50', 0.5)
assert threading.active_count() == 1
print('ok')
`;

for (const [version, interpreter] of interpreters) {
  test(`Python ${version} takes, holds, hands on and releases`, async () => {
    const of = configuration(await temporaryRoot());
    const ended = await python(of.root, program, [], { interpreter });
    expect(ended, ended.stderr).toMatchObject({ stdout: "ok\n", exitCode: 0 });
  });
}

const ending = `
import atexit, sys
from training_lock import *
registered, left, inside, late = [TrainingLock(name, 'IDD-AW', 'deeplabv3plus_r50') for name in 'abcd']
assert registered.acquire() and left.acquire()
atexit.register(registered.release)
inside.acquire()
inside.__enter__()
def last():
    # Python 3.12 starts no thread any more.
    print(late.acquire(), left.assert_held(), flush=True)
atexit.register(last)
sys.exit(3)
`;

for (const [version, interpreter] of [["usual", "python3"] as const, ...interpreters]) {
  test(`Python ${version} ends, and what it held is free`, async () => {
    const of = configuration(await temporaryRoot());
    const ended = await python(of.root, ending, [], { interpreter });
    expect(ended, ended.stderr).toMatchObject({ stdout: "True None\n", exitCode: 3 });
    expect((await trainlock(["list", "--root", of.root])).stdout).toBe("No active training locks\n");
  });
}
