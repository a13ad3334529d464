import { setTimeout as sleep } from "node:timers/promises";
import { faultTest } from "./fault.ts";
import { sharedStage } from "./stage.ts";
import { unbearableOutageMs } from "./tools.ts";

const stage = sharedStage();

faultTest(stage, {
  name: "the leader is killed, and started again",
  always: true,
  claim: "kept",
  strike: async ({ stage: { cluster } }) => {
    const leader = await cluster.leader();
    await cluster.kill(leader);
    await cluster.leader();
    await cluster.restart(leader);
  },
});

faultTest(stage, {
  name: "the leader stays away, and is back later",
  claim: "kept",
  strike: async ({ stage: { cluster } }) => {
    const leader = await cluster.leader();
    await cluster.kill(leader);
    await sleep(unbearableOutageMs);
    await cluster.restart(leader);
  },
});

faultTest(stage, {
  name: "each member is killed and started again, one after the other",
  claim: "kept",
  strike: async ({ stage: { cluster } }) => {
    for (const member of [0, 1, 2]) await cluster.restart(member);
  },
});

faultTest(stage, {
  name: "the leader is stopped for longer than the time to live, and wakes up as one that was voted out",
  claim: "kept",
  strike: async ({ stage: { cluster } }) => {
    const leader = await cluster.leader();
    cluster.pause(leader);
    await sleep(unbearableOutageMs);
    cluster.resume(leader);
  },
});

faultTest(stage, {
  name: "leadership moves on again and again",
  claim: "kept",
  strike: async ({ stage: { cluster } }) => {
    for (let times = 0; times < 6; times += 1) {
      const leader = await cluster.leader();
      cluster.pause(leader);
      await sleep(1500);
      cluster.resume(leader);
    }
  },
});
