import { expect, test } from "vitest";
import { sharedGlusterCluster } from "./gluster.ts";
import { trainByWorkers } from "./many-workers.ts";
import { trainWholeLab } from "./whole-lab.ts";

// `npm run test:lab`: what npm test does with 25 rows, with 337.
const cluster = sharedGlusterCluster();

test("a lab trains a grid of 337, whatever happens, while its board is open", async () => {
  const size = { strategies: 12, datasets: 4, models: 6, maxRunning: 12, kills: 4 };
  const report = await trainWholeLab(cluster(), "lab", size);
  console.log(report);
  expect(report.livingRowsSeen).toBeGreaterThan(0);
}, 3_600_000);

test("nine workers on three hosts train a grid of 500, whoever is killed", async () => {
  console.log(await trainByWorkers(cluster(), "workers", { rows: 500, onEach: 3, kills: 60 }));
}, 1_800_000);
