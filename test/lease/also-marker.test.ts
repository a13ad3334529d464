import { chmodSync, existsSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { asNobody } from "../e2e/nobody.ts";
import { writeMarker } from "../support/configuration.ts";
import { heldByFlock } from "../support/held-by-flock.ts";
import { noclobberJob, pythonJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";
import { etcdTest, storeSite } from "./store.ts";

const withPeers = requiresPrograms("etcd", "etcdctl", "bash", "python3");

withPeers("where a weights dir is, old jobs of both kinds are turned away, and turn away", async () => {
  const site = await storeSite();
  site.makeWeightsDir();
  const holder = await holdWithRun(site.args, site);
  expect(readFileSync(site.marker, "utf8")).toBe(`${holder.pid}\n`);
  for (const peer of [noclobberJob, pythonJob]) {
    const turnedAway = peer.start(site);
    await turnedAway.waitFor("SKIP");
    await turnedAway.finished;
  }
  holder.closeInput();
  await holder.finished;
  expect(existsSync(site.marker)).toBe(false);
  for (const peer of [noclobberJob, pythonJob]) {
    const job = peer.start(site);
    await job.waitFor("HELD");
    expect((await trainlock(["run", ...site.args, "--", "true"], site)).exitCode).toBe(75);
    // What was claimed in the store was given back at once.
    expect((await site.etcd.get(site.lockKey)).entry).toBeNull();
    job.closeInput();
    await job.finished;
  }
  expect(await trainlock(["run", ...site.args, "--", "true"], site)).toMatchObject({ exitCode: 0 });
});

withPeers("a waiter waits for an old job's marker, and holds no key meanwhile", async () => {
  const site = await storeSite();
  site.makeWeightsDir();
  const job = noclobberJob.start(site);
  await job.waitFor("HELD");
  const waiter = startTrainlock(["run", ...site.args, "--wait=1m", "--", "echo", "MY TURN"], site);
  await expect.poll(() => waiter.stderr()).toContain("Waiting for");
  await expect.poll(async () => (await site.etcd.get(site.lockKey)).entry).toBeNull();
  job.closeInput();
  await waiter.waitFor("MY TURN");
  expect((await waiter.finished).exitCode).toBe(0);
});

etcdTest("the marker is placed from the first run on, and not where it is declined", async () => {
  const site = await storeSite();
  const look = ["--", "sh", "-c", `test -e '${site.marker}'`];
  expect((await trainlock(["run", ...site.args, ...look], site)).exitCode).toBe(0);
  expect((await trainlock(["run", ...site.args, "--also-marker", ...look], site)).exitCode).toBe(0);
  expect((await trainlock(["run", ...site.args, "--no-also-marker", ...look], site)).exitCode).toBe(1);
});

etcdTest(
  "the first run of a configuration meets an old job's kernel lock, and keeps out a run without the store",
  async () => {
    const site = await storeSite();
    const old = await heldByFlock(site.kernelLock, "");
    expect((await trainlock(["check", ...site.args], site)).exitCode).toBe(1);
    expect((await trainlock(["run", ...site.args, "--", "true"], site)).exitCode).toBe(75);
    old.closeInput();
    await old.finished;
    const holder = await holdWithRun(site.args, site);
    expect((await trainlock(["run", ...site.args, "--", "true"])).exitCode).toBe(75);
    holder.closeInput();
    expect((await holder.finished).exitCode).toBe(0);
  },
);

etcdTest("the weights dir is there for the command, with and without the marker", async () => {
  for (const options of [[], ["--no-also-marker"], ["--also-marker"]]) {
    const site = await storeSite();
    const write = ["--done-file", "done.json", "--", "sh", "-c", 'echo x >> "$TRAINLOCK_WEIGHTS_DIR/log"'];
    for (let runs = 0; runs < 2; runs += 1)
      expect((await trainlock(["run", ...site.args, ...options, ...write], site)).exitCode).toBe(0);
    expect(readFileSync(`${site.weightsDir}/log`, "utf8")).toBe("x\n");
  }
});

requiresPrograms(
  "etcd",
  "etcdctl",
  "root",
)("a root that cannot be written is looked at, and what is given up is said", async () => {
  const site = await storeSite();
  const call = await asNobody();
  const store = ["--store", site.env.TRAINLOCK_STORE ?? ""];
  const run = (...options: string[]) => call(["run", ...site.args, ...store, ...options, "--", "true"]);
  chmodSync(site.root, 0o755);
  expect(await run()).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("cannot be written here") });
  expect(await run("--also-marker")).toMatchObject({ exitCode: 3 });
  const old = await heldByFlock(site.kernelLock, "");
  expect(await run()).toMatchObject({ exitCode: 75 });
  old.closeInput();
  await old.finished;
  await writeMarker(site, `${process.pid}\n`);
  expect(await run()).toMatchObject({ exitCode: 75 });
  expect(await run("--no-also-marker")).toMatchObject({ exitCode: 0 });
  // A key that is given up at once keeps nobody away.
  expect((await site.etcd.get(site.lockKey)).entry).toBeNull();
});

etcdTest("check and run look at what lies on the file system, too", async () => {
  const site = await storeSite();
  await writeMarker(site, `${process.pid}\n`);
  expect((await trainlock(["check", ...site.args], site)).exitCode).toBe(1);
  expect((await trainlock(["run", ...site.args, "--", "true"], site)).exitCode).toBe(75);
  expect((await trainlock(["list", "--root", site.root], site)).stdout).toContain("=== File-based locks");
});

etcdTest("the token in the command's environment is that of both", async () => {
  const site = await storeSite();
  site.makeWeightsDir();
  const script = `grep -q "$TRAINLOCK_TOKEN" '${site.markerRecord}' '${site.kernelLock}'`;
  // The record beside the marker follows at the first check.
  const patient = `for n in 1 2 3 4 5 6 7 8 9; do ${script} && exit 0; sleep 0.1; done; exit 1`;
  expect((await trainlock(["run", ...site.args, "--", "sh", "-c", patient], site)).exitCode).toBe(0);
});
