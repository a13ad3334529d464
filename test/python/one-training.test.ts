import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { otherInterpreters, python } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const test = requiresPrograms("python3");
const site = async () => configuration(await temporaryRoot());

/** What another process is told: 1, locked. */
const asking = `
import asyncio, os, subprocess, sys, threading, time
import training_lock
from training_lock import *
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
def check():
    call = [os.environ['TRAINLOCK_BIN'], 'check', '--strategy', 'baseline', '--dataset', 'IDD-AW', '--model', 'deeplabv3plus_r50']
    return subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
def run(awaitable):
    return asyncio.new_event_loop().run_until_complete(awaitable)
`;

const training = `
@lock
async def train(seconds):
    await asyncio.sleep(seconds)
    return 'trained'
`;

const oldest = otherInterpreters().get("3.6");
const versions: readonly (readonly [string, string])[] = [
  ["usual", "python3"],
  ...(oldest === undefined ? [] : [["oldest", oldest] as const]),
];
for (const [version, interpreter] of versions) {
  test(`a decorated coroutine or generator holds the lock to its end, on the ${version} Python`, async () => {
    const of = await site();
    const script = `${asking}
@lock
async def train(value):
    await asyncio.sleep(0.01)
    return value, check()
@lock
def steps():
    got = yield check()
    return got, check()
@lock
async def epochs():
    for epoch in range(2):
        yield epoch, check()
async def all_of(many):
    return [each async for each in many]
def whole(generator):
    found = [next(generator)]
    try:
        generator.send('sent')
    except StopIteration as end:
        return found + [end.value]
print(run(train('trained')), whole(steps()), run(all_of(epochs())), check())
`;
    const ended = await python(of.root, script, [], { interpreter });
    expect(ended.stdout).toBe("('trained', 1) [1, ('sent', 1)] [(0, 1), (1, 1)] 0\n");
  });
}

test("a function that hands out its training as a coroutine is refused, and counts as failed", async () => {
  const of = await site();
  const script = `${asking}
async def train():
    print('trains without the lock')
class Trainer(object):
    async def __call__(self):
        print('trains without the lock')
for function in (lambda: train(), Trainer()):
    try:
        lock(function)()
    except TypeError as error:
        print(error)
    except AttributeError as error:
        print(error)
`;
  const { stdout } = await python(of.root, script);
  expect(stdout.match(/would train without the lock/g)).toHaveLength(2);
  expect(stdout).not.toContain("trains without the lock\n");
  expect(JSON.parse(readFileSync(of.kernelLock, "utf8")).trainlock).toMatchObject({ exit_code: 1 });
});

test("one object in two threads or tasks trains once; what is called or begun in a block belongs to it", async () => {
  const of = await site();
  const script = `${asking}${training}async def twice():
    return await asyncio.gather(train(0.5), train(0.5), return_exceptions=True)
print([str(each).split(' by ')[-1].split(' (')[0] for each in run(twice())])
async def inside():
    with lock:
        return await asyncio.wait_for(train(0.01), 60), check()
print(run(inside()), check())

begun, end = threading.Event(), threading.Event()
def hold():
    with lock:
        begun.set()
        end.wait()
thread = threading.Thread(target=hold)
thread.start()
begun.wait()
for block in (lock, lock.waiting(0.3)):
    try:
        with block:
            print('trains twice')
    except LockHeld as error:
        print(type(error).__name__, str(error).split(' by ')[-1].split(' (')[0], error.holder['pid'] == os.getpid(), check())
threading.Timer(0.3, end.set).start()
with lock.waiting(60):
    print(lock.generation, check())
thread.join()
print(check())
`;
  const ended = await python(of.root, script);
  expect(ended.stdout).toBe(
    [
      "['trained', 'another thread or task of this process']",
      "('trained', 1) 0",
      "LockHeld another thread or task of this process True 1",
      "LockTimeout another thread or task of this process True 1",
      "4 1",
      "0",
      "",
    ].join("\n"),
  );
});

if (oldest !== undefined)
  test("without context variables, on Python 3.6, a task is told from another as well", async () => {
    const of = await site();
    const script = `${asking}${training}async def twice():
    found = await asyncio.gather(train(0.3), train(0.3), return_exceptions=True)
    with lock:
        return sorted(type(each).__name__ for each in found), await train(0.01), check()
print(run(twice()), check())
with lock:
    print(run(train(0.01)), check())
print(check())
`;
    const ended = await python(of.root, script, [], { interpreter: oldest });
    expect(ended.stdout).toBe("(['LockHeld', 'str'], 'trained', 1) 0\ntrained 1\n0\n");
  });

test("a block whose claim was released meanwhile leaves the next one, of another thread, alone", async () => {
  const of = await site();
  const script = `${asking}
begun, end = threading.Event(), threading.Event()
def hold():
    with lock:
        begun.set()
        end.wait()
with lock:
    lock.release()
    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
print(check())
end.set()
thread.join()
print(check())
`;
  expect((await python(of.root, script)).stdout).toBe("1\n0\n");
});

test("two copies of the file in one program know of each other: the second is turned away, and releases nothing", async () => {
  const of = await site();
  const folder = mkdtempSync(join(of.root, "package-"));
  const script = `${asking}
import importlib.util, shutil
def load(name):
    path = shutil.copy(training_lock.__file__, os.path.join(sys.argv[1], name + '.py'))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
copies = [load('one'), load('two')]
print(lock.acquire())
others = [copy.TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50') for copy in copies]
print([other.acquire() for other in others], [other.release() for other in others], lock.assert_held(), check())
copies[0].release_all()
print(lock.generation, check(), others[0].acquire(), lock.acquire(), check())
`;
  const ended = await python(of.root, script, [folder]);
  expect(ended.stdout).toBe("True\n[False, False] [None, None] None 1\nNone 0 True False 1\n");
  expect(ended.stderr).toContain("is held by this process since");
});

test("after a release or a loss no program is started as one that holds the lock", async () => {
  const of = await site();
  const script = `${asking}
def ask():
    for call in (lambda: lock.run(['echo', 'trains']), lambda: lock.popen(['echo', 'trains']), lambda: lock.pass_fds):
        try:
            print(call())
        except LockLost as error:
            print('LockLost')
ask()
lock.acquire()
print(len(lock.pass_fds), lock.run(['true']).returncode)
training_lock.release_all()
ask()
lock.acquire()
os.unlink(str(lock.weights_dir / '.training_lock'))
with open(str(lock.weights_dir / '.training_lock'), 'w') as file:
    file.write('1\\n')
ask()
`;
  const ended = await python(of.root, script);
  const refused = "LockLost\n".repeat(3);
  expect(ended.stdout).toBe(`${refused}1 0\n${refused}${refused}`);
});
