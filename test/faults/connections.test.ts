import { setTimeout as sleep } from "node:timers/promises";
import { describe } from "vitest";
import { type Fault, faultTest } from "./fault.ts";
import type { Treatment } from "./relays.ts";
import type { Holding, Scene } from "./scene.ts";
import { sharedStage } from "./stage.ts";
import { bearableOutageMs, unbearableOutageMs } from "./tools.ts";

// The holder's way to the cluster is treated badly; the others have one of their own.
const stage = sharedStage({ relayed: true });

function forAWhile(how: Treatment, forMs: number) {
  return async ({ relays }: Scene) => {
    relays?.treat(how);
    await sleep(forMs);
    relays?.treat("pass");
  };
}

function untilTakenOver(how: Treatment) {
  return async (scene: Scene, holder: Holding) => {
    scene.relays?.treat(how);
    await scene.holderAfter(holder);
    scene.relays?.treat("pass");
  };
}

const faults: Fault[] = [
  {
    name: "the holder's connections are reset, again and again, for a short time",
    claim: "kept",
    strike: forAWhile("reset", bearableOutageMs),
  },
  {
    name: "the holder's connections are reset for longer than the time to live",
    claim: "lost",
    strike: untilTakenOver("reset"),
  },
  {
    name: "each answer to the holder is 200 ms late",
    claim: "kept",
    strike: forAWhile("delay-200", unbearableOutageMs),
  },
  {
    name: "each answer to the holder is 800 ms late",
    always: true,
    claim: "kept",
    strike: forAWhile("delay-800", unbearableOutageMs),
  },
  {
    name: "what the holder sends is held back for a short time",
    claim: "kept",
    strike: forAWhile("hold", bearableOutageMs),
  },
  {
    name: "what the holder sends is held back for longer than the time to live, and arrives then",
    always: true,
    claim: "lost",
    strike: untilTakenOver("hold"),
  },
  {
    name: "the holder's connections are half open for a short time, and stay dead",
    always: true,
    claim: "kept",
    strike: forAWhile("swallow", bearableOutageMs),
  },
  {
    name: "the holder's connections are half open for longer than the time to live",
    claim: "lost",
    strike: untilTakenOver("swallow"),
  },
  {
    name: "the holder's requests arrive, and no answer does, for a short time",
    claim: "kept",
    strike: forAWhile("deaf", bearableOutageMs),
  },
  {
    name: "the holder's requests arrive, and no answer does, for longer than the time to live",
    always: true,
    claim: "lost",
    strike: forAWhile("deaf", unbearableOutageMs),
  },
];
describe.concurrent("one cluster, and each its own lock", () => {
  for (const fault of faults) faultTest(stage, fault);
});
