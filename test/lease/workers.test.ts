import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { etcdTest, storeSite } from "./store.ts";

etcdTest("workers that are killed and started again train each row of a grid once", async () => {
  const site = await storeSite();
  const { root } = await site.elsewhere();
  const names = Array.from({ length: 24 }, (_, index) => `s${index + 1}`);
  const grid = join(root, "grid.csv");
  writeFileSync(grid, `strategy,dataset,model\n${names.map((name) => `${name},D,m\n`).join("")}`);
  const ran = join(root, "ran");
  const lines = () => (existsSync(ran) ? readFileSync(ran, "utf8").trim().split("\n") : []);
  const script = `sleep 0.01; echo "$TRAINLOCK_STRATEGY" >>${ran}; head -c 2k /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/x.pth"`;
  const call = ["work", grid, "--root", root, "--scheduler", "none", "--done-when", "x.pth"];
  const command = [...call, "--max-attempts", "9", "--wait", "--", "sh", "-c", script];
  const start = () => startTrainlock(command, { ...site, timeoutMs: 120_000 });
  const workers = [start(), start(), start()];
  for (const [at, worker] of workers.entries()) {
    const seen = lines().length;
    await until("progress", () => (lines().length > seen ? true : null), 60_000);
    worker.kill("SIGKILL");
    workers[at] = start();
  }
  for (const { finished } of workers) expect((await finished).exitCode).toBe(0);
  expect(lines().sort()).toEqual(names.sort());
  const plan = ["plan", ...call.slice(1), "--require", "done"];
  expect((await trainlock(plan, site)).exitCode).toBe(0);
});
