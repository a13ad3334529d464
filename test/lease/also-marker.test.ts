import { existsSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { writeMarker } from "../support/configuration.ts";
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

etcdTest("the marker is placed where asked for, and not where it is declined", async () => {
  const site = await storeSite();
  const look = ["--", "sh", "-c", `test -e '${site.marker}'`];
  expect((await trainlock(["run", ...site.args, ...look], site)).exitCode).toBe(1);
  expect((await trainlock(["run", ...site.args, "--also-marker", ...look], site)).exitCode).toBe(0);
  // The folder is there now.
  expect((await trainlock(["run", ...site.args, ...look], site)).exitCode).toBe(0);
  expect((await trainlock(["run", ...site.args, "--no-also-marker", ...look], site)).exitCode).toBe(1);
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
