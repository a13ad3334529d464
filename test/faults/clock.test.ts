import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { type Clock, makeClock } from "./clock.ts";
import { contendAsUsual, faultTest } from "./fault.ts";
import type { Scene } from "./scene.ts";
import { sharedStage } from "./stage.ts";
import { ttlMs } from "./tools.ts";

// etcd is left out: a Go program reads the clock from the kernel's page itself, past every library, and the clock of the whole
// machine is not the tests' to set. Its leases count by the monotonic clock.
const stage = sharedStage();
const day = 86_400;
const clocks = new WeakMap<Scene, Clock>();

faultTest(stage, {
  name: "the wall clock of all clients is set a day ahead, two days back and right again",
  always: true,
  needsClock: true,
  needsKeeper: true,
  claim: "kept",
  contend: async (scene, round) => {
    const clock = makeClock(scene.folder);
    clocks.set(scene, clock);
    await contendAsUsual(scene, round, { behind: clock.behind });
  },
  strike: async (scene, holder) => {
    const clock = clocks.get(scene);
    if (clock === undefined) throw new Error("no clock");
    for (const pid of [holder.wrapper, scene.keeperOf(holder)]) expect(clock.isOf(pid)).toBe(true);
    for (const days of [1, -1, 0]) {
      clock.putOff(days * day);
      const [file = "", ...args] = [...clock.behind, "date", "+%s"];
      const isOffBy = Number(execFileSync(file, args)) - Date.now() / 1000;
      expect(Math.abs(isOffBy - days * day)).toBeLessThan(day / 2);
      await sleep(ttlMs * 0.6);
    }
  },
});
