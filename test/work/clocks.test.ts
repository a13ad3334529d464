import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { done, namesTo, training, workSite } from "./site.ts";

const hourMs = 3_600_000;

test("--retry-failed forgives the failures of a host whose clock is ahead, and not those that it notes later", async () => {
  const site = await workSite(namesTo(12));
  const failed = (from: number, aheadMs: number) =>
    namesTo(from + 9)
      .slice(from - 1)
      .map((name, nth) => {
        const endedAt = Date.now() + aheadMs + nth;
        return { name: `${name}/d/m`, model: "m", seconds: 1, well: false, endedAt };
      });
  const folder = join(site.root, "training_locks", "work");
  mkdirSync(folder, { recursive: true });
  const noted = (runs: unknown[]) =>
    writeFileSync(join(folder, "ahead-0.json"), JSON.stringify({ runs, retriedAt: 0, seconds: {} }));
  noted(failed(1, hourMs));
  const one = [...done, "--strategy"];
  const work = async (...options: string[]) => (await site.work([...options], training(site.root))).exitCode;
  expect([await work(...one, "s1"), site.lines("ran")]).toEqual([1, []]);
  expect([await work(...one, "s1", "--retry-failed"), site.lines("ran")]).toEqual([0, ["s1 1"]]);
  expect([await work(...one, "s2"), site.lines("ran")]).toEqual([0, ["s1 1", "s2 1"]]);
  noted([...failed(1, hourMs), ...failed(3, 2 * hourMs)]);
  expect([await work(...one, "s3"), site.lines("ran")]).toEqual([1, ["s1 1", "s2 1"]]);
});
