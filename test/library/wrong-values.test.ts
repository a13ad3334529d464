import { expect, test } from "vitest";
import { preflightCheck, TrainingLock, UsageError } from "../../src/index.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const good = { strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50" };

/** As a program without a type checker gives them. */
const wrong: Readonly<Record<string, readonly [Record<string, unknown>, RegExp]>> = {
  "a model that is a number": [{ model: 50 }, /model 50 is not a text/],
  "an aux loss that is an object": [{ auxLoss: {} }, /auxLoss .* is not a text/],
  "a negative stage": [{ stage: -1 }, /stage -1 is not a number from 0/],
  "half a stage": [{ stage: 1.5 }, /stage 1.5 is not a number from 0/],
  "a stage that is not a number": [{ stage: Number.NaN }, /stage NaN is not a number from 0/],
};

for (const [what, [given, says]] of Object.entries(wrong)) {
  test(`${what} is refused, and names what was given`, async () => {
    const options = { ...good, ...given, root: await temporaryRoot() };
    const make = () => Reflect.construct(TrainingLock, [options]);
    expect(make).toThrow(UsageError);
    expect(make).toThrow(says);
    await expect(Reflect.apply(preflightCheck, null, [options])).rejects.toThrow(says);
  });
}

test("a timeout that is no number is refused, and the lock is not taken", async () => {
  const lock = new TrainingLock({ ...good, root: await temporaryRoot() });
  for (const timeout of [Number.NaN, "5", null]) {
    const acquiring = Reflect.apply(lock.acquire, lock, [{ blocking: true, timeout }]);
    await expect(acquiring).rejects.toThrow(/timeout .* is not a number of seconds/);
  }
  expect(lock.generation).toBeNull();
});
