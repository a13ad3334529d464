import { expect, test } from "vitest";
import type { Row } from "../../src/grid/grid.ts";
import { RemainingRows } from "../../src/work/remaining-rows.ts";

const count = 400;
/** Workers choose among so many of the next rows: docs/work.md. */
const choices = 16;

/** How far each row is taken from its place in the grid: below zero is before its turn. */
async function distances(order: "grid" | "random"): Promise<number[]> {
  const rows = Array.from({ length: count }, (_, index) => ({ weightsDir: String(index) }) as Row);
  const remaining = new RemainingRows(rows, {
    order,
    look: async () => ({ kind: "trainable" }),
    keyOf: ({ weightsDir }) => weightsDir,
    isQueued: () => false,
  });
  const taken: number[] = [];
  for (let row = await remaining.take(); row !== null; row = await remaining.take()) taken.push(Number(row.weightsDir));
  expect(taken.toSorted((a, b) => a - b)).toEqual(rows.map(({ weightsDir }) => Number(weightsDir)));
  return taken.map((place, turn) => turn - place);
}

test("rows are taken in the order of the grid, each among the next few", async () => {
  const early = (await distances("grid")).map((distance) => -distance);
  expect(Math.max(...early)).toBeLessThan(choices);
  // Two workers seldom ask for one row.
  expect(Math.max(...early)).toBeGreaterThan(0);
});

test("--order random takes rows from anywhere in the grid", async () => {
  const far = (await distances("random")).filter((distance) => Math.abs(distance) > 4 * choices);
  expect(far.length).toBeGreaterThan(count / 4);
});
