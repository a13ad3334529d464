import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { python } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const test = requiresPrograms("python3");

/** Every so many opcodes of training_lock.py one round: all of them in the long form. */
const step = process.env.TRAINLOCK_SOAK === undefined ? 31 : 1;

/**
 * Runs a call again and again, each time with something that happens at a later opcode of training_lock.py, until none is left.
 * `finished` says what was wrong afterwards.
 */
const injecting = `
import os, subprocess, sys
import training_lock
from training_lock import *

def check():
    call = [os.environ['TRAINLOCK_BIN'], 'check', '--strategy', 'baseline', '--dataset', 'IDD-AW', '--model', 'deeplabv3plus_r50']
    return subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

class At(object):
    def __init__(self, n, action):
        self.left, self.action, self.where = n, action, None
    def __enter__(self):
        sys.settrace(self.enter)
    def __exit__(self, *_):
        sys.settrace(None)
    def enter(self, frame, event, arg):
        if frame.f_code.co_filename == training_lock.__file__ and self.where is None:
            frame.f_trace_opcodes = True
            return self.trace
    def trace(self, frame, event, arg):
        if event == 'opcode' and self.where is None:
            self.left -= 1
            if self.left == 0:
                self.where = '{}:{}'.format(frame.f_code.co_name, frame.f_lineno)
                self.action()
        return self.trace

def interrupt():
    raise KeyboardInterrupt

def rounds(call, action):
    n = tried = 0
    while True:
        n += int(sys.argv[1])
        lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
        at = At(n, lambda: action(lock))
        for fault in call(lock, at):
            print(fault, 'after', at.where)
        lock.release()
        if check() != 0:
            print('locked after its release, after', at.where)
        release_all()
        with lock:
            pass
        if check() != 0:
            print('locked by a later block, after', at.where)
            release_all()
        if at.where is None:
            return tried > 5
        tried += 1
`;

const calls: Readonly<Record<string, string>> = {
  "Ctrl-C in `with`": `
# Python itself may be interrupted between these and the block.
last = ('__enter__', '_enter', '__exit__')
def call(lock, at):
    trained = None
    try:
        with at:
            with lock:
                sys.settrace(None)
                trained = check()
                sys.settrace(at.enter)
    except KeyboardInterrupt:
        pass
    if trained == 0:
        yield 'trained without the lock'
    if lock.generation is not None and at.where.split(':')[0] not in last:
        yield 'still held'
    if (lock.generation is None) != (check() == 0):
        yield 'the object does not know what it holds'
print(rounds(call, lambda lock: interrupt()))
`,
  "Ctrl-C in acquire and release": `
def call(lock, at):
    got = None
    try:
        with at:
            got = lock.acquire()
            lock.release()
            got = None
    except KeyboardInterrupt:
        pass
    if (lock.generation is None) != (check() == 0):
        yield 'the object does not know what it holds'
print(rounds(call, lambda lock: interrupt()))
`,
  "release by a handler in assert_held": `
def call(lock, at):
    lock.acquire()
    weights_dir = lock.weights_dir
    # What it has to mend: a marker and a lock file that were removed.
    for path in (str(weights_dir / '.training_lock'), str(lock.lock_file)):
        if at.left % 2:
            os.unlink(path)
    held = True
    try:
        with at:
            lock.assert_held()
    except LockLost:
        held = False
    if at.where is not None and check() != 0:
        yield 'not released'
    if at.where is not None and os.path.exists(str(weights_dir / '.training_lock')):
        yield 'a marker without a holder'
    # The last opcodes come after the answer.
    if held and check() == 0 and not at.where.startswith(('assert_held', 'look', '_turn_to_look', '_require_unreleased', '_held_claim')):
        yield 'called held'
print(rounds(call, lambda lock: lock.release()))
`,
};

for (const [what, script] of Object.entries(calls)) {
  test(`${what}, wherever it comes: no training without the lock, and nothing stays locked`, async () => {
    const of = configuration(await temporaryRoot());
    const ended = await python(of.root, injecting + script, [String(step)], { timeoutMs: 3_500_000 });
    expect(ended.stdout).toBe("True\n");
  }, 3_600_000);
}
