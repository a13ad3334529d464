// One of many processes that hold locks on etcd: node holder.mjs ROOT STORE NAME COUNT. Says when it has them, and when one is
// lost; gives them back when its input ends.
import { TrainingLock } from "../../dist/lib/index.js";

const [root, store, name, count] = process.argv.slice(2);
const locks = Array.from(
  { length: Number(count) },
  (_, n) => new TrainingLock({ strategy: "many", dataset: name, model: `model${n}`, root, store }),
);
for (const lock of locks) {
  if (!(await lock.acquire())) throw new Error("somebody else holds the lock");
  lock.lost.addEventListener("abort", () => console.log(`lost ${lock.lost.reason}`));
}
console.log("held");
for await (const _ of process.stdin);
const before = performance.now();
for (const lock of locks) await lock.release();
console.log(`released ${performance.now() - before}`);
