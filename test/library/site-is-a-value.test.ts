import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { TrainingLock } from "../../src/library/training-lock.ts";

test("a site that locks by byte range leaves the next lock of the process as its own site has it", async () => {
  const root = mkdtempSync(join(tmpdir(), "site-is-a-value-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const options = { root, strategy: "s", dataset: "d", model: "m" };
  const file = join(root, "trainlock.yaml");
  writeFileSync(file, "lock_primitive: ofd\n");
  expect(await kindOfHeldLock(options)).toEqual(["OFDLCK"]);
  rmSync(file);
  expect(await kindOfHeldLock(options)).toEqual(["FLOCK"]);
});

async function kindOfHeldLock(options: ConstructorParameters<typeof TrainingLock>[0]): Promise<(string | undefined)[]> {
  const lock = new TrainingLock(options);
  await lock.acquire();
  const { ino } = statSync(join(options.root ?? "", "training_locks", "s_d_m.lock"));
  const lines = readFileSync("/proc/locks", "utf8").split("\n");
  await lock.release();
  return lines.filter((line) => line.includes(`:${ino} `)).map((line) => line.split(/\s+/)[1]);
}
