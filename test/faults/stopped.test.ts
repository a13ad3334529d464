import { setTimeout as sleep } from "node:timers/promises";
import { describe } from "vitest";
import { type Fault, faultTest } from "./fault.ts";
import { lastRun } from "./last-run.ts";
import type { Holding, Scene } from "./scene.ts";
import { sharedStage } from "./stage.ts";
import { replacingMs, tool, unbearableOutageMs } from "./tools.ts";

// The holder's way to the cluster is a relay's.
const stage = sharedStage({ relayed: true });

/** Stops them until another has the lock, wakes them, and tells for how long the command ran on. */
async function stopUntilTakenOver(scene: Scene, holder: Holding, stopped: readonly number[]): Promise<void> {
  scene.unguarded.add(holder.command);
  scene.signal("SIGSTOP", ...stopped);
  await scene.holderAfter(holder);
  await sleep(500);
  const wokenAt = process.hrtime.bigint();
  scene.signal("SIGCONT", ...stopped);
  if (!tool.hasKeeper) await endAnyway(scene, holder);
  await scene.ended(holder);
  scene.told.push(`the command ran on for ${lastRun(scene, holder, wokenAt)} ms after its keepers were woken`);
}

/** Where nobody stops a command that has lost its lock, it ends by itself some time. */
async function endAnyway(scene: Scene, holder: Holding): Promise<void> {
  await sleep(1000);
  scene.signal("SIGCONT", holder.command);
  scene.end(holder);
}

const faults: Fault[] = [
  {
    name: "the wrapper is stopped for longer than the time to live",
    always: true,
    needsKeeper: true,
    claim: "kept",
    strike: async (scene, { wrapper }) => {
      scene.signal("SIGSTOP", wrapper);
      await sleep(unbearableOutageMs);
      scene.signal("SIGCONT", wrapper);
    },
  },
  {
    name: "the keeper is stopped for longer than the time to live",
    always: true,
    needsKeeper: true,
    claim: "kept",
    takesMs: replacingMs,
    strike: async (scene, holder) => {
      scene.signal("SIGSTOP", scene.keeperOf(holder));
      await sleep(unbearableOutageMs);
    },
  },
  {
    name: "the wrapper is stopped, and its host cut off until another takes over",
    always: true,
    claim: "lost",
    strike: async (scene, holder) => {
      scene.signal("SIGSTOP", holder.wrapper);
      scene.relays?.treat("swallow");
      await scene.holderAfter(holder);
      scene.relays?.treat("pass");
      scene.signal("SIGCONT", holder.wrapper);
    },
  },
  {
    name: "the command is stopped, and its host cut off until another takes over",
    claim: "lost",
    strike: async (scene, holder) => {
      scene.signal("SIGSTOP", holder.command);
      scene.relays?.treat("swallow");
      await scene.holderAfter(holder);
      scene.relays?.treat("pass");
      if (!tool.hasKeeper) await endAnyway(scene, holder);
    },
  },
  {
    name: "wrapper and keeper are stopped, and the command is not, until another takes over",
    always: true,
    claim: "lost",
    strike: (scene, holder) => stopUntilTakenOver(scene, holder, [holder.wrapper, ...scene.keepersOf(holder)]),
  },
  {
    name: "wrapper, keeper and command are frozen until another takes over",
    claim: "lost",
    strike: (scene, holder) =>
      stopUntilTakenOver(scene, holder, [holder.command, holder.wrapper, ...scene.keepersOf(holder)]),
  },
];
describe.concurrent("one cluster, and each its own lock", () => {
  for (const fault of faults) faultTest(stage, fault);
});
