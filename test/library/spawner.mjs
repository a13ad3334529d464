// A program that trains by the library: spawner.mjs LIBRARY ROOT WAY COMMAND [ARG...]. WAY "held": it takes the lock before;
// "held, then asked": and waits for a line.
import { once } from "node:events";

const [library, root, way, ...command] = process.argv.slice(2);
const { TrainingLock } = await import(library);
const lock = new TrainingLock({ strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50", root });
if (way.startsWith("held") && !(await lock.acquire())) throw new Error("the lock is another's");
if (way === "held, then asked") {
  console.log("HELD");
  await once(process.stdin, "data");
}
const helper = lock.spawn(command[0], command.slice(1), { stdio: "ignore", killAfter: 0.2 });
console.log(`STARTED ${helper.pid}`);
const [code] = await once(helper, "exit");
process.stdin.destroy();
console.log(`ENDED ${code} ${lock.lost.aborted ? "lost" : "not lost"}`);
