// A program that uses the library, on Node or Bun. Its input says what to do, a word a line; it answers with a line each.
import { createInterface } from "node:readline";

const [library, root] = process.argv.slice(2);
const { LockLostError, TrainingLock } = await import(library);
const lock = new TrainingLock({ strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50", root });

const deeds = {
  acquire: async () => ((await lock.acquire()) ? "acquired" : "busy"),
  wait: async () => ((await lock.acquire({ blocking: true, timeout: 60 })) ? "acquired" : "busy"),
  "wait-briefly": async () => ((await lock.acquire({ blocking: true, timeout: 0.5 })) ? "acquired" : "busy"),
  "wait-for-ever": async () => ((await lock.acquire({ blocking: true, timeout: -1 })) ? "acquired" : "busy"),
  release: () => lock.release().then(() => "released"),
  assert: () =>
    lock.assertHeld().then(
      () => "held",
      (error) => `${error instanceof LockLostError ? error.code : "a stranger's error"}: ${error.message}`,
    ),
};

for await (const word of createInterface({ input: process.stdin })) console.log(await deeds[word]());
