import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { startCluster } from "../etcd/cluster.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { etcdTest, storeSite } from "./store.ts";

etcdTest(
  "workers of two roots share a grid through the store alone: each row is held by one at a time, and trained once a root",
  async () => {
    const site = await storeSite();
    const other = await site.elsewhere();
    const grid = join(site.root, "grid.yaml");
    const ran = join(site.root, "ran");
    writeFileSync(grid, "- { strategy: [a, b, c, d, e, f], dataset: D, model: m }\n");
    const script = `mkdir ${site.root}/$TRAINLOCK_STRATEGY || echo TWICE >>${ran}; sleep 0.1; rmdir ${site.root}/$TRAINLOCK_STRATEGY
    echo "$TRAINLOCK_STRATEGY $TRAINLOCK_GENERATION" >>${ran}; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"`;
    const work = (root: string) =>
      trainlock(
        ["work", grid, "--root", root, "--jobs", "2", "--wait", "--done-when", "final.pth", "--", "sh", "-c", script],
        { env: site.env, timeoutMs: 55_000 },
      );
    const ended = await Promise.all([work(site.root), work(site.root), work(other.root)]);
    expect(ended.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0]);
    const lines = readFileSync(ran, "utf8").trimEnd().split("\n");
    const rows = lines.map((line) => line.split(" ")[0]).sort();
    expect(rows).toEqual(["a", "a", "b", "b", "c", "c", "d", "d", "e", "e", "f", "f"]);
    expect(new Set(lines).size).toBe(12);
  },
);

etcdTest("where the store does not answer, a worker does not wait for it at each row", async () => {
  const cluster = await startCluster();
  const root = await temporaryRoot();
  const grid = join(root, "grid.yaml");
  const names = Array.from({ length: 40 }, (_, nth) => `s${nth}`);
  writeFileSync(grid, `- { strategy: [${names}], dataset: D, model: m }\n`);
  cluster.pause(0);
  const work = await trainlock(["work", grid, "--root", root, "--", "echo", "TRAINED"], {
    env: { TRAINLOCK_STORE: cluster.url },
    timeoutMs: 30_000,
  });
  expect(work).toMatchObject({ exitCode: 3, stdout: expect.stringContaining("40 that could not be looked at") });
});

etcdTest("submit refuses a password that no job would have", async () => {
  const site = await storeSite();
  const env = { ...site.env, TRAINLOCK_STORE_USER: "alice", TRAINLOCK_STORE_PASSWORD: "wonder land" };
  const submit = await trainlock(["submit", ...site.args, "--scheduler", "slurm", "--dry-run", "--", "true"], { env });
  expect(submit).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining("PASSWORD_FILE") });
  expect(submit.stderr).not.toContain("wonder");
});

etcdTest(
  "without a done rule a row that is needed is done, and one that failed is used up, as the store says",
  async () => {
    const site = await storeSite();
    const grid = join(site.root, "grid.yaml");
    const ran = join(site.root, "ran");
    writeFileSync(
      grid,
      `- { strategy: [base, bad], dataset: D, model: m }
- { strategy: next, dataset: D, model: m, needs: [{ strategy: base }] }
`,
    );
    const script = `echo $TRAINLOCK_STRATEGY >>${ran}; test $TRAINLOCK_STRATEGY != bad`;
    const work = () =>
      trainlock(["work", grid, "--root", site.root, "--", "sh", "-c", script], { env: site.env, timeoutMs: 55_000 });
    expect((await work()).exitCode).toBe(1);
    expect(readFileSync(ran, "utf8").trim().split("\n").sort()).toEqual(["bad", "base", "next"]);
    const again = await work();
    expect(again).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/1 failed \(bad\/d\/m\)/) });
    expect(readFileSync(ran, "utf8").trim().split("\n")).toHaveLength(3);
  },
);
