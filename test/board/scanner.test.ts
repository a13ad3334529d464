import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pauseAfter, Scanner } from "../../src/board/scanner.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A scanner whose scans take so long, and when they began, in seconds. */
function scannerOf(tookMs: () => number) {
  const begun: number[] = [];
  const origin = performance.now();
  const scanner = new Scanner(async () => {
    begun.push(Math.round((performance.now() - origin) / 1000));
    await new Promise((resolve) => setTimeout(resolve, tookMs()));
    return begun.length;
  });
  return { scanner, begun };
}

test("nothing is scanned while nobody looks", async () => {
  const { scanner, begun } = scannerOf(() => 10);
  await vi.advanceTimersByTimeAsync(100_000);
  expect(begun).toEqual([]);
  const leave = scanner.watch(() => undefined);
  await vi.advanceTimersByTimeAsync(25_000);
  expect(begun).toEqual([110, 120]);
  leave();
  await vi.advanceTimersByTimeAsync(100_000);
  expect(begun).toEqual([110, 120]);
});

test("one scan every 10 s, however many look and ask", async () => {
  const { scanner, begun } = scannerOf(() => 10);
  const told: number[] = [];
  for (let viewer = 0; viewer < 5; viewer += 1) scanner.watch((result) => told.push(result));
  for (let second = 0; second < 29; second += 1) {
    void Promise.all([scanner.current(), scanner.current()]);
    await vi.advanceTimersByTimeAsync(1000);
  }
  expect(begun).toEqual([0, 10, 20]);
  expect(told).toEqual([1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
});

test("none sooner than 50 times what the last one took, and never two at once", async () => {
  let tookMs = 2000;
  const { scanner, begun } = scannerOf(() => tookMs);
  scanner.watch(() => undefined);
  void scanner.current();
  await vi.advanceTimersByTimeAsync(50_000);
  void scanner.current();
  tookMs = 30_000;
  await vi.advanceTimersByTimeAsync(60_000);
  void scanner.current();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(begun).toEqual([0, 100]);
  await vi.advanceTimersByTimeAsync(1_479_000);
  expect(begun).toEqual([0, 100]);
  await vi.advanceTimersByTimeAsync(2000);
  expect(begun).toEqual([0, 100, 1600]);
  expect([pauseAfter(1), pauseAfter(200), pauseAfter(1000)]).toEqual([10_000, 10_000, 50_000]);
});

test("the time that other hosts took to answer, or not to, keeps the next scan off by nothing", async () => {
  const begun: number[] = [];
  const origin = performance.now();
  const scan = async () => {
    begun.push(Math.round((performance.now() - origin) / 1000));
    await new Promise((resolve) => setTimeout(resolve, 8000));
  };
  new Scanner(scan, () => 7900).watch(() => undefined);
  await vi.advanceTimersByTimeAsync(35_000);
  expect(begun).toEqual([10, 20, 30]);
});
