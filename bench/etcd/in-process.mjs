// Started by ../etcd.mjs, once a runtime: the round trip to etcd over a warm connection, and claims and releases, in turns.
// Prints medians and quickest as JSON, in milliseconds.
import { randomBytes } from "node:crypto";
import { TrainingLock } from "../../dist/lib/index.js";
import { median } from "../measure.mjs";
import { clientOf } from "./client.mjs";

const [root, url, loops] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const warmUps = 20;
const { client, prefix } = clientOf({ url });
const key = `${prefix}/bench`;
const value = randomBytes(440);
const lockOf = (model) => new TrainingLock({ strategy: "baseline", dataset: "IDD-AW", model, root, store: url });
const [alone, beside] = [lockOf("alone"), lockOf("beside")];

async function held(lock, action) {
  if (!(await lock.acquire())) throw new Error("somebody else holds the lock");
  await action?.();
  await lock.release();
}

const times = new Map();
async function timed(what, action) {
  const before = performance.now();
  await action();
  const elapsed = performance.now() - before;
  times.set(what, [...(times.get(what) ?? []), elapsed]);
}

// Its keeper is started for this one.
await timed("first", () => held(alone));
const first = times.get("first")[0];
times.clear();
for (let n = -warmUps; n < loops; n++) {
  if (n === 0) times.clear();
  await timed("read", () => client.get(key));
  await timed("transaction", () => client.transact({ if: [], then: [{ put: key, value, lease: null }], elseGet: [] }));
  await timed("claim", () => alone.acquire());
  await timed("claim beside", () => beside.acquire());
  await timed("release beside", () => beside.release());
  await timed("release", () => alone.release());
}
const results = [...times].map(([what, all]) => [what, { median: median(all), quickest: Math.min(...all) }]);
console.log(JSON.stringify({ first, results }));
process.exit();
