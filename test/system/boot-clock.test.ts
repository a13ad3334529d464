import { readFileSync, statSync } from "node:fs";
import { expect, test } from "vitest";
import { clockMovedSinceBootSeconds } from "../../src/system/clock/boot-clock.ts";

test("measures how far the wall clock was stepped since boot", () => {
  const moved = clockMovedSinceBootSeconds();
  const bootSeconds = Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1]);
  const devicesMadeSeconds = statSync("/dev/zero").ctimeMs / 1000;
  if (moved !== null) expect(Math.abs(moved - Math.abs(bootSeconds - devicesMadeSeconds))).toBeLessThan(2);
});
