import { setTimeout as sleep } from "node:timers/promises";
import { faultTest } from "./fault.ts";
import type { Scene } from "./scene.ts";
import { sharedStage } from "./stage.ts";

const stage = sharedStage();

async function compact({ stage: { cluster }, prefix }: Scene): Promise<void> {
  const put = JSON.parse(await cluster.etcdctl("put", `${prefix}/other`, "1", "-w", "json"));
  await cluster.etcdctl("compaction", String(put.header.revision));
}

faultTest(stage, {
  name: "what is watched is compacted again and again, and each member defragmented, while others wait",
  always: true,
  claim: "kept",
  strike: async (scene) => {
    for (let times = 0; times < 5; times += 1) {
      await compact(scene);
      await scene.stage.cluster.etcdctl("defrag");
      await sleep(200);
    }
  },
});

faultTest(stage, {
  name: "those who wait are cut off, what they watched is compacted, and the lock changes hands meanwhile",
  claim: "any",
  strike: async (scene, holder) => {
    const { cluster } = scene.stage;
    // One that all watch at: they have to begin again elsewhere, at a revision that is gone.
    for (const member of [0, 1, 2]) {
      cluster.pause(member);
      await sleep(300);
      cluster.resume(member);
      await compact(scene);
    }
    await cluster.kill(await cluster.leader());
    scene.end(holder);
    await scene.holderAfter(holder);
    await compact(scene);
    await Promise.all([0, 1, 2].map((member) => cluster.restart(member)));
  },
});
