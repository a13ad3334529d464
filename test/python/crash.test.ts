import { readdirSync } from "node:fs";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { python, pythonSession } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const test = requiresPrograms("python3");

/** A long run tries each of them. */
const step = process.env.TRAINLOCK_SOAK === undefined ? 3 : 1;

/** What changes or locks a file, in Python's half of acquire, of a look and of release; and what it says to the executable. */
const calls = ["fcntl.flock", "os.pwrite", "os.rename", "os.unlink", "os.open", "os.close", "training_lock._send"];

/** Kills itself before or after the Nth of these calls. Says `whole` when there were fewer. */
const program = `
import fcntl, os, signal, sys
import training_lock
call, moment, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
owner, name = {'fcntl': fcntl, 'os': os, 'training_lock': training_lock}[call.split('.')[0]], call.split('.')[1]
original, seen = getattr(owner, name), [0]
def counted(*arguments, **named):
    seen[0] += 1
    if moment == 'before' and seen[0] == number:
        os.kill(os.getpid(), signal.SIGKILL)
    result = original(*arguments, **named)
    if moment == 'after' and seen[0] == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
lock = training_lock.TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
setattr(owner, name, counted)
assert lock.acquire()
open(str(lock.lock_file), 'w').close()
lock.assert_held()
lock.release()
setattr(owner, name, original)
print('whole', seen[0])
`;

for (const moment of ["before", "after"]) {
  test(
    `killed ${moment} any of its calls, a program leaves nothing that blocks or needs a hand`,
    async () => {
      let points = 0;
      for (const call of calls) {
        for (let number = 1; ; number += step) {
          const of = configuration(await temporaryRoot());
          const ended = await python(of.root, program, [call, moment, String(number)]);
          if (ended.stdout.startsWith("whole")) break;
          expect(ended.signal, `${call} ${number}: ${ended.stderr}`).toBe("SIGKILL");
          points += 1;
          await expectWhole(of, `${moment} ${call} ${number}`);
        }
      }
      expect(points).toBeGreaterThan(step === 1 ? 15 : 6);
      tally({ crashPoints: points });
      if (step === 1) console.log(`crash points ${points}, ${moment} a call: each free for the next program at once`);
    },
    step === 1 ? 1_800_000 : 120_000,
  );
}

async function expectWhole(of: ReturnType<typeof configuration>, point: string) {
  const next = pythonSession(of.root);
  // The executable that it had asked may still be at work, with the same lock.
  await until(`acquire after ${point}`, async () => ((await next.tell("lock.acquire()")) === true ? true : null));
  expect(await next.tell("lock.assert_held()"), point).toBe(null);
  expect(await next.tell("lock.release()"), point).toBe(null);
  next.process.closeInput();
  expect((await trainlock(["list", "--root", of.root])).stdout, point).toBe("No active training locks\n");
  expect(readdirSync(of.weightsDir), point).toEqual([".training_lock.json"]);
}

test("the executable killed in the middle of its answer: LockUnavailable, and the next attempt has the lock", async () => {
  const of = configuration(await temporaryRoot());
  const script = `
import os, signal, time
import training_lock
from training_lock import *
send = training_lock._send
def and_kill(ours, message, fd=None):
    send(ours, message, fd)
    if 'answer' in message:
        time.sleep(float(os.environ['AFTER']))
        for task in os.listdir('/proc/self/task'):
            for child in open('/proc/self/task/{}/children'.format(task)).read().split():
                os.kill(int(child), signal.SIGKILL)
training_lock._send = and_kill
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
try:
    print(lock.acquire())
except LockUnavailable:
    print('unavailable')
training_lock._send = send
print(lock.acquire(), lock.release())
`;
  for (const after of ["0", "0.001", "0.002", "0.003", "0.005", "0.01"]) {
    const { stdout } = await python(of.root, script, [], { env: { AFTER: after } });
    expect(stdout).toMatch(/^(?:unavailable|True)\nTrue None\n$/);
  }
  expect((await trainlock(["list", "--root", of.root])).stdout).toBe("No active training locks\n");
});
