import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import { until } from "../support/until.ts";
import { type Fault, faultTest } from "./fault.ts";
import type { Holding, Scene } from "./scene.ts";
import { sharedStage } from "./stage.ts";
import { tool, ttlMs } from "./tools.ts";

const stage = sharedStage();

const locks = (scene: Scene) => `${scene.prefix}/locks/`;

async function revoke(scene: Scene): Promise<void> {
  const { cluster } = scene.stage;
  const found = await cluster.etcdctl("get", "--prefix", locks(scene), "-w", "json");
  // More digits than a number of JavaScript has; etcdctl wants it in hex.
  for (const [, lease = "0"] of found.matchAll(/"lease":(\d+)/g))
    await cluster.etcdctl("lease", "revoke", BigInt(lease).toString(16)).catch(() => "");
}

/**
 * Either the holder has it again, and says so, or somebody was quicker, and it ends with 74. Who removes a key tells everybody
 * that it is free: until its holder hears of it, two may run.
 */
async function decided(scene: Scene, holder: Holding): Promise<void> {
  scene.unguarded.add(holder.command);
  if (!tool.hasKeeper) {
    await scene.holderAfter(holder);
    return;
  }
  await until("the key to be claimed again, or lost", () => {
    const { stderr = "", ending = null } = scene.attempt(holder) ?? {};
    return ending !== null || stderr.includes("claimed again: generation") ? true : null;
  });
  const [before, after] = scene.journal().intervals;
  if (after === undefined || before === undefined) return;
  const besideMs = Math.round(Number((before.to ?? after.from) - after.from) / 1e6);
  scene.told.push(`somebody was quicker, and began ${besideMs} ms before the end of the first command`);
}

const faults: Fault[] = [
  {
    name: "the lease is revoked by hand while others wait",
    always: true,
    claim: "any",
    strike: async (scene, holder) => {
      await revoke(scene);
      await decided(scene, holder);
    },
  },
  {
    name: "the key is deleted by hand while others wait",
    claim: "any",
    strike: async (scene, holder) => {
      await scene.stage.cluster.etcdctl("del", "--prefix", locks(scene));
      await decided(scene, holder);
    },
  },
  {
    name: "the lease is revoked by hand, and nobody else is there: claimed again",
    claim: "kept",
    needsKeeper: true,
    contend: async (scene) => {
      scene.contend();
      await scene.holder();
    },
    strike: async (scene, holder) => {
      await revoke(scene);
      await decided(scene, holder);
      expect(scene.attempt(holder)?.ending).toBeNull();
    },
  },
  {
    name: "the key is deleted by hand again and again, and nobody else is there: claimed again",
    always: true,
    claim: "kept",
    needsKeeper: true,
    contend: async (scene) => {
      scene.contend();
      await scene.holder();
    },
    strike: async (scene, holder) => {
      for (let times = 0; times < 5; times += 1) {
        await scene.stage.cluster.etcdctl("del", "--prefix", locks(scene));
        await sleep(ttlMs / 20);
      }
      await decided(scene, holder);
      expect(scene.attempt(holder)?.ending).toBeNull();
    },
  },
  {
    name: "all that is under the prefix is deleted by hand",
    claim: "any",
    strike: async (scene, holder) => {
      await scene.stage.cluster.etcdctl("del", "--prefix", scene.prefix);
      await decided(scene, holder);
    },
  },
];
describe.concurrent("one cluster, and each its own lock", () => {
  for (const fault of faults) faultTest(stage, fault);
});
