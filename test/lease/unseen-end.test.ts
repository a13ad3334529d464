import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { etcdTest, storeSite } from "./store.ts";

/** A row that ends well, while its root is gone as if its file server were away. */
async function leavingSite() {
  const site = await storeSite();
  // Outside of the root, which goes.
  const { root } = await site.elsewhere();
  const away = `${site.root}.away`;
  const grid = join(root, "grid.yaml");
  const ran = join(root, "ran");
  writeFileSync(grid, "- { strategy: baseline, dataset: IDD-AW, model: deeplabv3plus_r50 }\n");
  const script = `echo "$TRAINLOCK_ATTEMPT" >>${ran}; head -c 2k /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/x.pth"; mv ${site.root} ${away}`;
  const rule = ["--done-when", "x.pth"];
  return {
    site,
    comeBack: () => renameSync(away, site.root),
    runs: () => (existsSync(ran) ? readFileSync(ran, "utf8").trim().split("\n") : []),
    work: ["work", grid, "--root", site.root, "--scheduler", "none", ...rule],
    run: ["run", ...site.args, "--no-also-marker", ...rule],
    command: ["--", "sh", "-c", script],
    ends: async () => {
      const record = await site.etcdctl("get", "--print-value-only", site.lockKey.replace("/locks/", "/ends/"));
      return JSON.parse(record).trainlock.ends as object;
    },
  };
}

const uncounted = { attempts: 0, interruptions: 0, fruitless: 0, last_end: "interrupted", last_exit: 0 };

etcdTest("a run that ends with 0 while its root is away is neither done nor failed", async () => {
  const { site, run, command, ends, comeBack } = await leavingSite();
  const { exitCode, stderr } = await trainlock([...run, ...command], site);
  expect(exitCode).toBe(0);
  expect(stderr).toMatch(/ended with 0, and whether it is done cannot be looked at: .*ENOENT/);
  expect(await ends()).toMatchObject(uncounted);
  comeBack();
});

etcdTest(
  "a worker says so with exit code 3, and the row is not tried again where its checkpoint is there",
  async () => {
    const { site, work, command, ends, runs, comeBack } = await leavingSite();
    const { exitCode, stdout, stderr } = await trainlock([...work, "--jobs", "2", ...command], site);
    expect(exitCode, stderr).toBe(3);
    expect(stdout).toMatch(/ unknown +baseline\/idd-aw\/deeplabv3plus_r50, exit 0 after .* cannot be looked at now\n/);
    expect(stdout).toMatch(/\nnothing can be trained now: 1 that could not be looked at\n$/);
    expect(stderr).toMatch(/^trainlock: baseline\/idd-aw\/deeplabv3plus_r50: .*ENOENT/);
    expect(await ends()).toMatchObject(uncounted);
    comeBack();
    expect(await trainlock([...work, ...command], site)).toMatchObject({
      exitCode: 0,
      stdout: "nothing is left to train\n",
    });
    expect(runs()).toEqual(["1"]);
  },
);

etcdTest("with --wait a worker waits for the root, and finds the row done", async () => {
  const { site, work, command, runs, comeBack } = await leavingSite();
  const worker = startTrainlock([...work, "--wait", ...command], { ...site, timeoutMs: 60_000 });
  await until("it waits", () => (worker.stdout().includes(" waiting ") ? true : null), 30_000);
  expect(worker.stdout()).toContain("trainlock: baseline/idd-aw/deeplabv3plus_r50: ");
  comeBack();
  expect((await worker.finished).exitCode).toBe(0);
  expect(runs()).toEqual(["1"]);
});
