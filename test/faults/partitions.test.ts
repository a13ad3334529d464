import { setTimeout as sleep } from "node:timers/promises";
import { type Fault, faultTest } from "./fault.ts";
import type { Plug } from "./network.ts";
import type { Scene } from "./scene.ts";
import { sharedStage } from "./stage.ts";
import { bearableOutageMs, unbearableOutageMs } from "./tools.ts";

const stage = sharedStage({ networks: true });
const needsNetworks = true;

/** Cuts these off for so long; packets vanish, which is the harder way: nobody is told that a connection is gone. */
async function cutOff({ stage: { network } }: Scene, plugs: readonly Plug[], forMs: number): Promise<void> {
  network?.plug(plugs, "nowhere");
  await sleep(forMs);
  network?.mend();
}

const wholly = (member: number): Plug[] => [`peer${member}`, `member${member}`];

const faults: Omit<Fault, "needsNetworks">[] = [
  {
    name: "a member that follows is cut off",
    claim: "kept",
    strike: async (scene) => cutOff(scene, wholly(((await scene.stage.cluster.leader()) + 1) % 3), unbearableOutageMs),
  },
  {
    name: "the leader is cut off",
    claim: "kept",
    strike: async (scene) => cutOff(scene, wholly(await scene.stage.cluster.leader()), unbearableOutageMs),
  },
  {
    name: "the leader is cut off from the other members, and clients still reach it",
    always: true,
    claim: "kept",
    strike: async (scene) => cutOff(scene, [`peer${await scene.stage.cluster.leader()}`], bearableOutageMs),
  },
  {
    name: "two of three members are cut off for a short time",
    always: true,
    claim: "kept",
    // The members' own connections take as long again to come back.
    strike: (scene) => cutOff(scene, [...wholly(0), ...wholly(1)], bearableOutageMs / 2),
  },
  {
    name: "two of three members are cut off for longer than the time to live",
    claim: "lost",
    strike: (scene) => cutOff(scene, [...wholly(0), ...wholly(1)], unbearableOutageMs),
  },
  {
    name: "no member reaches another, and clients reach all, for a short time",
    claim: "kept",
    strike: (scene) => cutOff(scene, ["peer0", "peer1", "peer2"], bearableOutageMs),
  },
  {
    name: "no member reaches another, and clients reach all, for longer than the time to live",
    claim: "lost",
    strike: (scene) => cutOff(scene, ["peer0", "peer1", "peer2"], unbearableOutageMs),
  },
  {
    name: "the holder's host is cut off for a short time, its packets vanish",
    claim: "kept",
    strike: (scene) => cutOff(scene, ["client0"], bearableOutageMs),
  },
  {
    name: "the holder's host is cut off for longer than the time to live, and another host takes over",
    always: true,
    claim: "lost",
    strike: async (scene, holder) => {
      scene.stage.network?.plug(["client0"], "nowhere");
      await scene.holderAfter(holder);
      scene.stage.network?.mend();
    },
  },
  {
    name: "the holder's cable is pulled for a short time",
    claim: "kept",
    strike: async ({ stage: { network } }) => {
      network?.plug(["client0"], "out");
      await sleep(bearableOutageMs);
      network?.mend();
    },
  },
  {
    name: "the holder's cable is pulled for longer than the time to live",
    claim: "lost",
    strike: async (scene, holder) => {
      scene.stage.network?.plug(["client0"], "out");
      await scene.holderAfter(holder);
      scene.stage.network?.mend();
    },
  },
];
for (const fault of faults) faultTest(stage, { ...fault, needsNetworks });
