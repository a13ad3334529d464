import { expect, test } from "vitest";
import { pauseBeforeLook } from "../../src/work/worker.ts";

test("a worker that waits looks again after fifty times what the last look took, and after two minutes at most", () => {
  expect(pauseBeforeLook(1000, 2)).toBe(1000);
  expect(pauseBeforeLook(30_000, 2)).toBe(30_000);
  expect(pauseBeforeLook(1000, 1500)).toBe(75_000);
  expect(pauseBeforeLook(1000, 90_000)).toBe(120_000);
});
