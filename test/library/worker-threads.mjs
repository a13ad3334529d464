// A program with a lock of the library in two threads, on Node or Bun.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const { library, root } = workerData ?? { library: process.argv[2], root: process.argv[3] };
const { TrainingLock } = await import(library);
const lock = new TrainingLock({ strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50", root });
const acquire = async () => ((await lock.acquire()) ? "acquired" : "busy");
const ask = async () => ((await lock.isLocked()) ? "locked" : "not locked");

if (isMainThread) {
  const startWorker = () => new Worker(new URL(import.meta.url), { workerData: { library, root } });
  const message = (worker) => new Promise((told) => worker.once("message", told));
  const exit = (worker) => new Promise((ended) => worker.once("exit", ended));
  console.log(`main ${await acquire()}`);
  const first = startWorker();
  console.log(`worker ${await message(first)}`);
  first.postMessage("end");
  await exit(first);
  await lock.assertHeld();
  console.log("main held");
  await lock.release();
  const second = startWorker();
  console.log(`worker ${await message(second)}`);
  console.log(`main ${await acquire()}, ${await ask()}`);
  second.postMessage("end");
  await exit(second);
  console.log(`main ${await acquire()}`);
  await lock.release();
} else {
  parentPort.postMessage(`${await acquire()}, ${await ask()}`);
  await new Promise((told) => parentPort.once("message", told));
  await lock.release();
  parentPort.close();
}
