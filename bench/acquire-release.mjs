// Started by run.mjs, once a runtime: takes and gives back one lock again and again, and between two of these makes the
// same changes to files without a lock. Prints medians and quickest as JSON, in microseconds.
import { closeSync, ftruncateSync, linkSync, mkdirSync, openSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { TrainingLock } from "../dist/lib/index.js";
import { median } from "./measure.mjs";

const [root, loops] = [process.argv[2], Number(process.argv[3])];
const warmUps = 200;
const record = Buffer.alloc(880, "x");
const bare = join(root, "bare");
mkdirSync(bare, { recursive: true });

async function claim() {
  const lock = new TrainingLock({ strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50", root });
  if (!(await lock.acquire())) throw new Error("somebody else holds the lock");
  await lock.release();
}

function written(path, bytes) {
  const file = openSync(path, "wx");
  writeSync(file, bytes);
  closeSync(file);
}

/** What a claim changes on disk: two records in the lock file, a marker by link, its record twice by rename. */
function sameChanges() {
  const [temporary, marker, besides] = [join(bare, "temporary"), join(bare, "marker"), join(bare, "record")];
  const lock = openSync(join(bare, "lock"), "a+");
  ftruncateSync(lock);
  writeSync(lock, record, 0, record.length, 0);
  written(temporary, "4711\n");
  linkSync(temporary, marker);
  unlinkSync(temporary);
  written(temporary, record);
  renameSync(temporary, besides);
  written(temporary, record);
  renameSync(temporary, besides);
  unlinkSync(marker);
  writeSync(lock, record, 0, record.length, 0);
  closeSync(lock);
}

async function microseconds(action) {
  const before = process.hrtime.bigint();
  await action();
  return Number(process.hrtime.bigint() - before) / 1e3;
}

const claims = [];
const changes = [];
for (let n = -warmUps; n < loops; n++) {
  const claimed = await microseconds(claim);
  const changed = await microseconds(sameChanges);
  if (n < 0) continue;
  claims.push(claimed);
  changes.push(changed);
}
const result = (all) => ({ median: median(all), quickest: Math.min(...all) });
console.log(JSON.stringify({ claim: result(claims), changes: result(changes) }));
