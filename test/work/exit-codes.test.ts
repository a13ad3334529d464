import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { done, training, workSite } from "./site.ts";

/** A grid of rows that end in every way there is: `held` is another's, `stuck` has no folder, `blocked` lacks what it needs. */
async function mixedSite() {
  const site = await workSite(`
- { strategy: [fine, fails, held, stuck], dataset: D, model: m }
- { strategy: blocked, dataset: D, model: m, needs: ["{root}/no-such-input"] }
`);
  mkdirSync(join(site.root, "WEIGHTS", "stuck"), { recursive: true });
  writeFileSync(join(site.root, "WEIGHTS", "stuck", "d_cd"), "in the way");
  const holder = await holdWithRun(["--root", site.root, "--strategy", "held", "--dataset", "D", "--model", "m"]);
  const command = training(site.root, "[ $TRAINLOCK_STRATEGY != fails ] || exit 9;");
  const codeOf = async (strategies: string, ...more: string[]) =>
    (await site.work([...done, "--strategy", strategies, "--retry-failed", ...more], command)).exitCode;
  return { ...site, holder, codeOf };
}

test("3 outranks 1 outranks 75, and 0 is for a grid of which nothing is left", async () => {
  const { codeOf, holder } = await mixedSite();
  expect(await codeOf("stuck,fails,held,blocked,fine")).toBe(3);
  expect(await codeOf("stuck,held")).toBe(3);
  expect(await codeOf("fails,held,blocked,fine")).toBe(1);
  expect(await codeOf("held,fine")).toBe(75);
  expect(await codeOf("blocked,fine")).toBe(75);
  expect(await codeOf("fine")).toBe(0);
  holder.closeInput();
});

test("with --count 1 it is the command's own, but for a row that could not be started", async () => {
  const { codeOf, holder } = await mixedSite();
  expect(await codeOf("fails", "--count", "1")).toBe(9);
  expect(await codeOf("held,blocked", "--count", "1")).toBe(0);
  expect(await codeOf("stuck", "--count", "1")).toBe(3);
  expect(await codeOf("fails,held", "--count", "2")).toBe(1);
  holder.closeInput();
});

test("a signal outranks rows that have failed", async () => {
  const site = await workSite(["a", "b"]);
  const command = training(site.root, '[ -e "$ROOT/failed" ] || { touch "$ROOT/failed"; exit 9; }; exec sleep 60;');
  const worker = site.start(done, command, { env: { ROOT: site.root } });
  await until("the second row", () => (/ failed [\s\S]* started /.test(worker.stdout()) ? true : null));
  worker.kill("SIGTERM");
  expect((await worker.finished).exitCode).toBe(143);
});

test("a row that cannot be looked at is named, and is exit 3; the others are trained", async () => {
  const site = await workSite("- { strategy: [shared, own], dataset: E, model: m }\n");
  const other = ["--strategy", "shared", "--dataset", "D", "--model", "m", "--no-grid"];
  expect((await site.work([...other, ...done], training(site.root))).exitCode).toBe(0);
  // By now two datasets have one folder.
  const path = "WEIGHTS/{strategy}/d_cd/{model}{ratio}{aux_loss}";
  site.write("trainlock.yaml", `weights: [{ path: "${path}", when: { dataset: E } }]\n`);
  const { exitCode, stdout, stderr } = await site.work(done, training(site.root));
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/^trainlock: shared\/E\/m: final\.pth in \S+ is no proof: /m);
  expect(stdout).toMatch(/1 trained, 1 that could not be looked at\n$/);
  expect(site.lines("ran")).toEqual(["shared 1", "own 1"]);
});

test("--wait does not wait for a row that this worker cannot start", async () => {
  const site = await workSite(["stuck", "fine"]);
  mkdirSync(join(site.root, "WEIGHTS", "stuck"), { recursive: true });
  writeFileSync(join(site.root, "WEIGHTS", "stuck", "d_cd"), "in the way");
  const { exitCode, stdout } = await site.work([...done, "--wait"], training(site.root));
  expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: expect.stringMatching(/ not started +stuck\/d\/m: /) });
  expect(site.lines("ran")).toEqual(["fine 1"]);
  const plan = await trainlock([
    "plan",
    site.grid,
    "--root",
    site.root,
    ...done,
    "--require",
    "done",
    "--strategy",
    "fine",
  ]);
  expect(plan.exitCode).toBe(0);
});
