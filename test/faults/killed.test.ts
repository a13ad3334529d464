import { setTimeout as sleep } from "node:timers/promises";
import { describe } from "vitest";
import { contendAsUsual, type Fault, faultTest } from "./fault.ts";
import type { Holding, Scene } from "./scene.ts";
import { sharedStage } from "./stage.ts";
import { replacingMs, tool, ttlMs, unbearableOutageMs } from "./tools.ts";

// The holder's way to the cluster is a relay's.
const stage = sharedStage({ relayed: true });

function kill(scene: Scene, { wrapper }: Holding, ...others: readonly number[]): void {
  scene.killed.add(wrapper);
  scene.signal("SIGKILL", wrapper, ...others);
}

/** The holder is still the only one. */
async function expectNobodyElse(scene: Scene, holder: Holding): Promise<void> {
  await sleep(unbearableOutageMs);
  const { intervals } = scene.journal();
  if (intervals.length > 1 || !scene.isRunning(holder.command)) throw new Error("another has taken over");
}

const faults: Fault[] = [
  {
    name: "the wrapper is killed, and its command goes on",
    always: true,
    needsKeeper: true,
    claim: "any",
    strike: async (scene, holder) => {
      kill(scene, holder);
      await expectNobodyElse(scene, holder);
    },
  },
  {
    name: "keeper after keeper is killed",
    always: true,
    needsKeeper: true,
    claim: "kept",
    takesMs: replacingMs,
    strike: async (scene, holder) => {
      for (let times = 0; times < 3; times += 1) {
        scene.signal("SIGKILL", await scene.newKeeperOf(holder));
        await sleep(ttlMs / 2);
      }
    },
  },
  {
    name: "the command is killed",
    claim: "any",
    strike: async (scene, holder) => {
      scene.signal("SIGKILL", holder.command);
      await scene.holderAfter(holder);
    },
  },
  {
    name: "the wrapper is killed while its host is cut off, until another takes over",
    always: true,
    claim: "any",
    strike: async (scene, holder) => {
      scene.relays?.treat("swallow");
      kill(scene, holder);
      await scene.holderAfter(holder);
      scene.relays?.treat("pass");
    },
  },
  {
    name: "the keeper is killed while its host is cut off, until another takes over",
    needsKeeper: true,
    claim: "lost",
    strike: async (scene, holder) => {
      scene.relays?.treat("swallow");
      scene.signal("SIGKILL", scene.keeperOf(holder));
      await scene.holderAfter(holder);
      scene.relays?.treat("pass");
    },
  },
  {
    name: "wrapper and keeper are killed, and the command is not",
    always: true,
    claim: "any",
    strike: async (scene, holder) => {
      scene.unguarded.add(holder.command);
      kill(scene, holder, ...scene.keepersOf(holder));
      // Its host is the contenders' own: there the command is found.
      if (tool.hasKeeper) await expectNobodyElse(scene, holder);
      else await scene.holderAfter(holder).then(() => sleep(500));
      scene.end(holder);
      await scene.ended(holder);
    },
  },
  {
    name: "wrapper and keeper are killed, and the command is not, with the marker: the file's lock still excludes",
    always: true,
    needsKeeper: true,
    claim: "any",
    contend: async (scene, round) => {
      await contendAsUsual(scene, round, { options: ["--also-marker"] });
    },
    strike: async (scene, holder) => {
      kill(scene, holder, scene.keeperOf(holder));
      await expectNobodyElse(scene, holder);
    },
  },
];
describe.concurrent("one cluster, and each its own lock", () => {
  for (const fault of faults) faultTest(stage, fault);
});
