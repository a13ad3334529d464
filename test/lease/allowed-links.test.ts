import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { exchanger } from "../support/exchanger.ts";
import { noclobberJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, holdWithRun, trainlock } from "../support/trainlock.ts";
import { etcdTest, type StoreSite, storeSite } from "./store.ts";

/** A site with its locks in a store, whose folder of a strategy is a link to `behind` in a folder that may be allowed. */
async function linkedSite(allowed = true): Promise<StoreSite & { scratch: string; behind: string; link: string }> {
  const site = await storeSite();
  const scratch = await temporaryRoot();
  const behind = join(scratch, "me");
  mkdirSync(behind);
  const link = dirname(dirname(site.weightsDir));
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(behind, link);
  if (allowed) writeFileSync(join(site.root, "trainlock.yaml"), `links: ["${scratch}"]\n`, { mode: 0o644 });
  return { ...site, scratch, behind, link };
}

const run = (site: StoreSite, ...more: readonly string[]) =>
  trainlock(["run", ...site.args, "--scheduler", "none", "--", ...(more.length === 0 ? ["true"] : more)], site);

etcdTest(
  "behind an allowed link lies the marker of a lock in a store, and it excludes jobs that know only that",
  async () => {
    const site = await linkedSite();
    const marker = join(site.behind, "idd-aw_cd", "deeplabv3plus_r50", ".training_lock");
    const holder = await holdWithRun(site.args, site);
    expect(readFileSync(marker, "utf8")).toBe(`${holder.pid}\n`);
    expect(await noclobberJob.start(site).finished).toMatchObject({ exitCode: 1 });
    expect(await run(site)).toMatchObject({ exitCode: 75 });
    const listed = await trainlock(["list", "--root", site.root, "--json"], site);
    expect(listed).toMatchObject({ exitCode: 0, stderr: "" });
    expect(JSON.parse(listed.stdout).locks.map(({ status }: { status: string }) => status)).not.toContain("stale");
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
    expect(existsSync(marker)).toBe(false);
    const job = noclobberJob.start(site);
    await job.waitFor("HELD");
    expect(await run(site)).toMatchObject({ exitCode: 75 });
    // What was claimed in the store is given back.
    expect((await site.etcd.get(site.lockKey)).entry).toBeNull();
  },
);

etcdTest("a link that is not allowed: nothing is claimed in the store, and nothing made behind it", async () => {
  const site = await linkedSite(false);
  expect(await run(site)).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(site.link) });
  expect((await site.etcd.get(site.lockKey)).entry).toBeNull();
  expect(readdirSync(site.behind)).toEqual([]);
});

etcdTest("a link that leads nowhere on this host keeps its configuration from being trained", async () => {
  const site = await storeSite();
  const scratch = await temporaryRoot();
  mkdirSync(dirname(site.weightsDir), { recursive: true });
  symlinkSync(join(scratch, "gone"), site.weightsDir);
  writeFileSync(join(site.root, "trainlock.yaml"), `links: ["${scratch}"]\n`, { mode: 0o644 });
  const label = "UNKNOWN - link leads nowhere here";
  expect(await trainlock(["check", ...site.args], site)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining(label),
  });
  expect(await run(site)).toMatchObject({ exitCode: 75, stderr: expect.stringContaining(label) });
  expect((await site.etcd.get(site.lockKey)).entry).toBeNull();
  mkdirSync(join(scratch, "gone"));
  expect(await run(site)).toMatchObject({ exitCode: 0 });
});

etcdTest("two configurations at one real folder are refused, though the store has a key for each", async () => {
  const site = await linkedSite();
  symlinkSync(site.behind, `${site.link}_2`);
  for (const strategy of ["baseline", "baseline_2"]) {
    const args = site.args.map((each) => (each === "baseline" ? strategy : each));
    const { exitCode, stderr } = await trainlock(["run", ...args, "--", "true"], site);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("baseline_2") });
  }
  expect(await site.etcdctl("get", "--prefix", dirname(site.lockKey), "--keys-only")).not.toContain("baseline");
});

requiresPrograms(
  "etcd",
  "etcdctl",
  "python3",
)("while somebody swaps the link, nothing is made outside root and allowed folders, and no key stays", async () => {
  const site = await linkedSite();
  const outside = await temporaryRoot();
  mkdirSync(join(outside, "idd-aw_cd", "deeplabv3plus_r50"), { recursive: true });
  const evil = `${site.root}/evil`;
  symlinkSync(outside, evil);
  const before = readdirSync(outside, { recursive: true }).sort();
  const swapping = startProcess("python3", ["-c", exchanger, site.link, evil], { env: environment() });
  await swapping.waitFor("SWAPPING");
  const ends: (number | null)[] = [];
  for (let rounds = 0; rounds < 8; rounds += 1) {
    ends.push((await run(site)).exitCode);
    expect(readdirSync(outside, { recursive: true }).sort(), `after ${rounds} runs`).toEqual(before);
    expect((await site.etcd.get(site.lockKey)).entry).toBeNull();
  }
  swapping.closeInput();
  await swapping.finished;
  expect(ends.filter((code) => ![0, 3, 74, 75].includes(code ?? -1))).toEqual([]);
});
