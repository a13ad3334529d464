import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { python, pythonSession, startPython } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, trainlock } from "../support/trainlock.ts";

const test = requiresPrograms("python3");
const site = async () => configuration(await temporaryRoot());

/** A script in the executable's place. */
async function standIn(script: string): Promise<string> {
  const path = join(await temporaryRoot(), "trainlock");
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

test("an executable that never answers: Ctrl-C ends the wait within seconds, and another call waits for the same no longer", async () => {
  const of = await site();
  const script = `
import os, signal, threading, time
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
for call in (lock.acquire, lock.is_locked):
    def interrupt():
        while not os.path.exists(os.environ['ASKED']):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        print(call())
    except KeyboardInterrupt:
        print('interrupted', lock.generation)
    with open(os.environ['ASKED']) as file:
        print(is_pid_running(int(file.read())))
    os.unlink(os.environ['ASKED'])
`;
  const hanging = await standIn('echo $$ > "$ASKED.new"; mv "$ASKED.new" "$ASKED"; exec sleep 1000');
  const ended = await python(of.root, script, [], { env: { TRAINLOCK_BIN: hanging, ASKED: join(of.root, "asked") } });
  expect(ended.stdout).toBe("interrupted None\nFalse\ninterrupted None\nFalse\n");
});

test("an executable that says much on standard error, or goes on after a wrong answer, keeps nobody waiting", async () => {
  const of = await site();
  const loud = await standIn(`head -c 1000000 /dev/zero | tr '\\0' x >&2; exec "${executable}" "$@"`);
  const program = pythonSession(of.root, { env: { TRAINLOCK_BIN: loud } });
  expect(await program.tell("lock.acquire(), lock.release()")).toEqual([true, null]);
  const wrong = await standIn("read x; echo held; exec sleep 1000");
  const other = pythonSession(of.root, { env: { TRAINLOCK_BIN: wrong } });
  expect(await other.raised("lock.acquire()")).toMatch(/^LockUnavailable: .*has not answered/);
});

test("whatever the locale, paths and names are the same bytes", async () => {
  const of = configuration(join(await temporaryRoot(), "Größe"), "baseline", "Köln", "modèle");
  mkdirSync(of.root);
  const script = `
import os, sys
from training_lock import *
def made(names):
    return TrainingLock(*names)
written = ('baseline', 'K\\xf6ln', 'mod\\xe8le')
lock = made(sys.argv[1:])
print(made(written).is_locked(), lock.acquire(), lock.assert_held(), made(written).acquire(), len(list_all_locks()))
ended = lock.run(['sh', '-c', 'test -e "$TRAINLOCK_WEIGHTS_DIR/.training_lock"'])
os.unlink(str(lock.weights_dir / '.training_lock'))
print(ended.returncode, lock.assert_held(), os.path.exists(str(lock.weights_dir / '.training_lock')), ascii(lock.lock_file.name))
sys.stdout.flush()
sys.stdin.read()
lock.release(done=True)
print(made(written).is_locked(), made(written).acquire())
`;
  const plain = { LC_ALL: "C", PYTHONUTF8: "0", PYTHONCOERCECLOCALE: "0" };
  for (const env of [plain, { LC_ALL: "C.UTF-8" }]) {
    const program = startPython(of.root, script, [of.strategy, of.dataset, of.model], { env });
    await program.waitFor(".lock");
    expect(existsSync(of.marker)).toBe(true);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
    program.closeInput();
    await program.finished;
    expect(program.stdout().split("\n").filter(Boolean)).toEqual([
      "False True None False 2",
      expect.stringMatching(/^0 None True 'baseline_k.*ln_mod.*le\.lock'$/),
      "False True",
    ]);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0 });
  }
});

test("in a removed working folder, and where the file's text is executed without a name", async () => {
  const of = await site();
  const script = `
import os
os.mkdir('gone')
os.chdir('gone')
os.rmdir('../gone')
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
print(lock.is_locked(), lock.acquire(), lock.assert_held(), lock.release())
`;
  expect((await python(of.root, script, [], { cwd: of.root })).stdout).toBe("False True None None\n");
  const executed = `
import training_lock
names = {'__name__': 'a cell'}
with open(training_lock.__file__) as file:
    exec(file.read(), names)
print(names['TrainingLock']('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire())
`;
  expect((await python(of.root, executed)).stdout).toBe("True\n");
});

test("with every descriptor in use the lock is looked at, mended and released as ever", async () => {
  const of = await site();
  const script = `
import os, resource, sys
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
before = os.listdir('/proc/self/fd')
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
used = []
try:
    with lock:
        marker = str(lock.weights_dir / '.training_lock')
        try:
            while True:
                used.append(os.open('/dev/null', os.O_RDONLY))
        except OSError:
            pass
        lock.assert_held()
        os.unlink(marker)
        lock.assert_held()
        print(os.path.exists(marker))
        open('/dev/null')
except OSError as error:
    print(error.strerror, lock.generation, os.path.exists(marker))
for fd in used:
    os.close(fd)
print(lock.acquire(), lock.generation)
lock.release()
print(os.listdir('/proc/self/fd') == before)
`;
  const ended = await python(of.root, script);
  expect(ended.stdout).toBe("True\nToo many open files None False\nTrue 2\nTrue\n");
  const { stdout } = await trainlock(["history", "--root", of.root, "--json"]);
  expect(JSON.parse(stdout).rows).toMatchObject([{ state: "failed", exit: 1 }, { generation: 2 }]);
});
