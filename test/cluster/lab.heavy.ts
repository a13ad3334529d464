import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cluster, startCluster } from "./cluster.ts";
import { glusterIsMissing, mountGluster } from "./gluster.ts";
import { trainWholeLab } from "./whole-lab.ts";

// `npm run test:lab`: what npm test does with 25 rows, with 337.
let cluster: Cluster | undefined;
beforeAll(async () => {
  const missing = glusterIsMissing();
  if (missing !== null) throw new Error(`missing here: ${missing}`);
  cluster = await startCluster();
  await mountGluster(cluster);
}, 120_000);
afterAll(async () => {
  expect(await cluster?.stop()).toEqual([]);
}, 30_000);

test("a lab trains a grid of 337, whatever happens, while its board is open", async () => {
  if (cluster === undefined) throw new Error("no cluster");
  const size = { strategies: 12, datasets: 4, models: 6, maxRunning: 12, kills: 4 };
  const report = await trainWholeLab(cluster, "lab", size);
  console.log(report);
  expect(report.livingRowsSeen).toBeGreaterThan(0);
}, 2_400_000);
