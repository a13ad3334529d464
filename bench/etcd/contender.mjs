// One of many processes that want the same few locks on etcd: node contender.mjs ROOT STORE NAMES ROUNDS. Begins at a line on
// its input; claims and gives back in turn, each time another name.
import { TrainingLock } from "../../dist/lib/index.js";

const [root, store, names, rounds] = process.argv.slice(2);
console.log("ready");
await new Promise((resolve) => process.stdin.once("data", resolve));
let failed = 0;
for (let round = 0; round < Number(rounds); round += 1) {
  const model = `model${(process.pid + round) % Number(names)}`;
  const lock = new TrainingLock({ strategy: "contended", dataset: "farm", model, root, store });
  try {
    if (!(await lock.acquire({ blocking: true, timeout: 600 }))) throw new Error("not within ten minutes");
    await lock.release();
  } catch (error) {
    // Machines with fewer cores than contenders may keep etcd waiting for longer than it is waited for.
    failed += 1;
    console.error(String(error));
  }
}
console.log(`done, ${failed} failed`);
process.exit();
