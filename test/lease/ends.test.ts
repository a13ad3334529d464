import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { holdWithLastingCommand, killWithCommand, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { etcdTest, type StoreSite, storeSite } from "./store.ts";

/** What the command is told of the runs before it, in a root of its own: nothing but the store can tell. */
async function told(site: StoreSite, script = ""): Promise<string> {
  const other = await site.elsewhere();
  const said = `echo "$TRAINLOCK_ATTEMPT,$TRAINLOCK_LAST_EXIT"; ${script}`;
  const { stdout } = await trainlock(["run", ...other.args, "--no-also-marker", "--", "sh", "-c", said], site);
  return stdout.trim();
}

etcdTest(
  "attempts, interruptions and the last exit code are counted in the store, and a success ends the count",
  async () => {
    const site = await storeSite();
    expect(await told(site, "exit 3")).toBe("1,");
    expect(await told(site, "exit 4")).toBe("2,3");
    const stopped = startTrainlock(
      ["run", ...site.args, "--no-also-marker", "--", "sh", "-c", "echo READY; exec sleep 9"],
      site,
    );
    await stopped.waitFor("READY");
    stopped.kill("SIGTERM");
    await stopped.finished;
    expect(await told(site)).toBe("3,143");
    expect(await told(site)).toBe("1,0");
  },
);

etcdTest("a run that was killed with its wrapper is an interruption, counted once by the next one", async () => {
  const site = await storeSite();
  await told(site, "exit 3");
  const noted = () => site.etcdctl("get", "--print-value-only", site.lockKey.replace("/locks/", "/ends/"));
  for (let nth = 0; nth < 3; nth += 1) {
    const holder = await holdWithLastingCommand([...site.args, "--no-also-marker"], site);
    await until("it is noted", async () =>
      (await noted()).includes(`"child_pid": ${holder.commandPid}`) ? true : null,
    );
    await killWithCommand(holder);
    await until("the end of its lease", async () =>
      (await trainlock(["check", ...site.args], site)).exitCode === 0 ? true : null,
    );
  }
  // Three in a row that left no checkpoint are one more attempt.
  expect(await told(site, "exit 5")).toBe("3,");
  const { ends } = JSON.parse(await noted()).trainlock;
  expect(ends).toMatchObject({ attempts: 3, interruptions: 3, last_exit: 5, last_end: "failed" });
});

etcdTest("plan and why tell of runs by the store alone, in a root that knows nothing of them", async () => {
  const site = await storeSite();
  const other = await site.elsewhere();
  const flags = (root: string, strategy: string) =>
    ["--root", root, "--strategy", strategy, "--dataset", "D", "--model", "m"] as const;
  const run = (strategy: string, script: string, ...more: string[]) =>
    trainlock(["run", ...flags(site.root, strategy), "--no-also-marker", ...more, "--", "sh", "-c", script], site);
  await run("broken", "exit 3");
  await run("broken", "exit 4");
  await run("torn", 'head -c 2k /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/x.pth"; exit 5');
  const held = await holdWithLastingCommand([...flags(site.root, "held"), "--no-also-marker"], site);
  expect(existsSync(join(site.root, "training_locks"))).toBe(false);
  for (const { root } of [site, other]) {
    const grid = join(root, "grid.yaml");
    writeFileSync(grid, "- { strategy: [broken, torn, held, new], dataset: D, model: m }\n");
    const plan = await trainlock(["plan", grid, "--root", root, "--done-when", "x.pth", "--json"], site);
    const rows = JSON.parse(plan.stdout).rows as object[];
    const torn = root === site.root ? "done" : "failed";
    expect(rows).toMatchObject([
      { state: "failed", attempts: 2, lastEnd: "failed", lastExit: 4 },
      { state: torn, attempts: 1, lastExit: 5 },
      { state: "running", lock: { kind: "etcd", holder: { pid: expect.any(Number) } } },
      { state: "free", attempts: 0, lastExit: null },
    ]);
    const why = await trainlock(["why", "broken/d/m", "--root", root, "--grid", grid, "--json"], site);
    expect(JSON.parse(why.stdout)).toMatchObject({
      state: "failed",
      lastRun: { generation: expect.any(Number), exitCode: 4, ends: { attempts: 2, lastEnd: "failed" } },
    });
    expect(JSON.parse(why.stdout).lastRun.generation).toBeGreaterThan(0);
  }
  const known = await trainlock(["plan", "--root", other.root, "--format", "{name}"], site);
  expect(known.stdout).toBe("broken/d/m\nheld/d/m\ntorn/d/m\n");
  await killWithCommand(held);
  const worked = join(other.root, "worked");
  const work = (...more: string[]) =>
    trainlock(
      [
        "work",
        "--root",
        other.root,
        "--strategy",
        "broken",
        "--dataset",
        "D",
        "--model",
        "m",
        ...more,
        "--",
        "sh",
        "-c",
      ].concat(`echo "$TRAINLOCK_ATTEMPT" >>${worked}; head -c 2k /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/x.pth"`),
      site,
    );
  await work("--done-when", "x.pth");
  expect(existsSync(worked)).toBe(false);
  await work("--done-when", "x.pth", "--retry-failed");
  expect(readFileSync(worked, "utf8")).toBe("1\n");
});

etcdTest("large values in the place of records keep plan from no row", async () => {
  const site = await storeSite();
  const grid = join(site.root, "grid.yaml");
  const names = Array.from({ length: 8 }, (_, nth) => `s${nth}`);
  writeFileSync(grid, `- { strategy: [${names}], dataset: D, model: m }\n`);
  const large = Buffer.alloc(1_400_000, "x");
  for (const name of names) {
    const key = site.lockKey.replace(/\/locks\/.*/, `/ends/${name}_d_m`);
    await site.etcd.transact({ if: [], then: [{ put: key, value: large, lease: null }], elseGet: [] });
  }
  const plan = await trainlock(["plan", grid, "--root", site.root, "--json"], site);
  expect([plan.exitCode, JSON.parse(plan.stdout).counts.free]).toEqual([0, names.length]);
});
