import { setTimeout as sleep } from "node:timers/promises";
import { type Fault, faultTest } from "./fault.ts";
import type { Scene } from "./scene.ts";
import { sharedStage } from "./stage.ts";
import { bearableOutageMs, unbearableOutageMs } from "./tools.ts";

const stage = sharedStage();
const members = [0, 1, 2];

async function stopAll({ stage: { cluster } }: Scene, forMs: number): Promise<void> {
  for (const member of members) cluster.pause(member);
  await sleep(forMs);
  for (const member of members) cluster.resume(member);
}

async function killAll({ stage: { cluster } }: Scene, forMs: number): Promise<void> {
  await Promise.all(members.map((member) => cluster.kill(member)));
  await sleep(forMs);
  await Promise.all(members.map((member) => cluster.restart(member)));
}

const faults: Fault[] = [
  {
    name: "all members are stopped for a short time",
    always: true,
    claim: "kept",
    strike: (scene) => stopAll(scene, bearableOutageMs),
  },
  {
    name: "all members are stopped for longer than the time to live",
    always: true,
    claim: "lost",
    strike: (scene) => stopAll(scene, unbearableOutageMs),
  },
  { name: "all members are killed, and started again at once", claim: "kept", strike: (scene) => killAll(scene, 0) },
  {
    name: "all members are killed, and started again after more than the time to live",
    claim: "lost",
    strike: (scene) => killAll(scene, unbearableOutageMs),
  },
];
for (const fault of faults) faultTest(stage, fault);
