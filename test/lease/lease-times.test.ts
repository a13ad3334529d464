import fc from "fast-check";
import { expect, test } from "vitest";
import { leaseTimes, leastTtlMs, longestTtlMs } from "../../src/stores/lease/lease-times.ts";

const anyTtl = fc.integer({ min: leastTtlMs, max: longestTtlMs });

test("an outage of three quarters of the time to live loses nothing, whenever it begins", () => {
  fc.assert(
    fc.property(anyTtl, (ttlMs) => {
      const times = leaseTimes(ttlMs);
      // It begins as a renewal is due, and ends as an attempt has just failed.
      const confirmedAgainMs = times.renewEveryMs + ttlMs * 0.75 + times.askNextMs + times.retryMs;
      expect(confirmedAgainMs).toBeLessThan(times.stopAfterMs);
    }),
  );
});

test("a command that lost its lease has time to stop, and is killed before the lease can end", () => {
  fc.assert(
    fc.property(anyTtl, (ttlMs) => {
      const { stopAfterMs, killAfterMs } = leaseTimes(ttlMs);
      expect(killAfterMs - stopAfterMs).toBeGreaterThanOrEqual(500);
      expect(ttlMs - killAfterMs).toBeGreaterThanOrEqual(250);
    }),
  );
});
