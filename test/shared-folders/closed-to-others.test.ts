import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect } from "vitest";
import { asNobody } from "../e2e/nobody.ts";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { alice } from "./users.ts";

// Root may read everything, so these are called as somebody else, who only root can become.
const test = requiresPrograms("root", "setpriv");

/** What the runtime says of a call that failed. Users read our words. */
const rawWords = /permission denied|scandir|lstat|\bstat '/;

describe("a colleague has closed the folder behind a link that the site allows", () => {
  async function siteWithClosedLink() {
    const [root, scratch] = [await temporaryRoot(), await temporaryRoot()];
    const closed = configuration(root, "mixup", "BDD10k", "small");
    const beside = configuration(root, "mixup", "BDD10k", "large");
    const folder = join(scratch, "ann", "m1");
    mkdirSync(folder, { recursive: true });
    mkdirSync(dirname(closed.weightsDir), { recursive: true });
    symlinkSync(folder, closed.weightsDir);
    writeFileSync(join(root, "trainlock.yaml"), `links: ["${scratch}"]\n`);
    for (const path of [folder, dirname(folder)]) chownSync(path, alice, alice);
    chmodSync(dirname(folder), 0o700);
    mkdirSync(closed.lockDir);
    chmodSync(closed.lockDir, 0o777);
    for (const path of [root, scratch]) chmodSync(path, 0o755);
    return { root, closed, beside, call: await asNobody() };
  }

  test("plan and why show the others, and that row as unknown", async () => {
    const { root, closed, beside, call } = await siteWithClosedLink();
    await holdWithRun(beside.args);
    const states = (stdout: string) =>
      Object.fromEntries(JSON.parse(stdout).rows.map(({ name, state }: Record<string, string>) => [name, state]));
    const plan = await call(["plan", "--root", root, "--json"]);
    expect(plan).toMatchObject({ exitCode: 3, stderr: "" });
    expect(states(plan.stdout)).toEqual({ [closed.name]: "unknown", [beside.name]: "running" });
    const grid = await call(["plan", ...beside.args.slice(0, -2), "--model", "large,small,next", "--json"]);
    expect(grid).toMatchObject({ exitCode: 3, stderr: "" });
    expect(Object.values(states(grid.stdout))).toEqual(["running", "unknown", "free"]);
    const others = await call(["plan", ...configuration(root).args, "--json"]);
    expect(others).toMatchObject({ exitCode: 0, stderr: "" });
    expect(Object.values(states(others.stdout))).toEqual(["free"]);
    const why = await call(["why", closed.name, "--root", root]);
    expect(why).toMatchObject({
      exitCode: 3,
      stdout: expect.stringContaining(`cannot look into ${closed.weightsDir}`),
    });
    expect(await call(["why", beside.name, "--root", root])).toMatchObject({ exitCode: 0 });
  });

  test("list shows what is trained beside it, and names that folder alone; neither check nor run takes it for free", async () => {
    const { root, closed, beside, call } = await siteWithClosedLink();
    await holdWithRun(beside.args);
    const list = await call(["list", "--file-only", "--root", root]);
    expect(list).toMatchObject({ exitCode: 3, stdout: expect.stringContaining(`${beside.name} [ACTIVE]`) });
    expect(list.stderr).toBe(`trainlock: cannot look into ${closed.weightsDir}: EACCES; its locks are not listed\n`);
    for (const args of [
      ["check", ...closed.args],
      ["run", ...closed.args, "--", "true"],
    ]) {
      const refused = await call(args);
      expect(refused).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(closed.weightsDir) });
      expect(refused.stderr).not.toMatch(rawWords);
    }
  });

  test("doctor goes on to its summary; the board shows the others", async () => {
    const { root, closed, beside, call } = await siteWithClosedLink();
    await holdWithRun(beside.args);
    const doctor = await call(["doctor", "--root", root]);
    expect(doctor.stdout).toMatch(/\d+ ok, \d+ warnings?, \d+ faults?\n$/);
    expect(doctor.stderr).toBe("");
    const top = await call(["top", "--root", root]);
    expect(top.stdout).toMatch(new RegExp(`running +${beside.name}`));
    expect(top.stdout).toMatch(new RegExp(`unknown +${closed.name}`));
  });
});

test("whoever is outside the group reads once what keeps a row from being looked at, in words", async () => {
  const root = await temporaryRoot();
  const of = configuration(root);
  mkdirSync(join(of.lockDir, "submit"), { recursive: true });
  mkdirSync(of.weightsDir, { recursive: true });
  chmodSync(root, 0o755);
  chmodSync(join(of.lockDir, "submit"), 0o770);
  const call = await asNobody();
  // A row that may be queued is not free.
  const plan = await call(["plan", ...of.args]);
  expect(plan).toMatchObject({ exitCode: 3, stderr: "" });
  expect(plan.stdout).toMatch(
    /^unknown {2}\S+ {2}it may be queued: cannot read the submissions in \S+\/submit: EACCES\n/,
  );
  const submit = await call(["submit", ...of.args, "--dry-run", "--", "true"]);
  expect(submit).toMatchObject({ exitCode: 3, stdout: "" });
  expect(submit.stderr).toMatch(/cannot read the submissions in \S+: EACCES\n {2}ask the owner/);
  const doctor = await call(["doctor", "--root", root, "--json"]);
  const faults = JSON.parse(doctor.stdout).findings.filter(({ level }: { level: string }) => level === "fault");
  expect(faults.map(({ subject }: { subject: string }) => subject)).toEqual([of.lockDir, join(root, "WEIGHTS")]);
});

test("what is queued behind a link that leads nowhere on this host may be queued", async () => {
  const of = configuration(await temporaryRoot());
  mkdirSync(of.lockDir, { recursive: true });
  symlinkSync("/nowhere/of/another/host", join(of.lockDir, "submit"));
  const plan = await trainlock(["plan", ...of.args]);
  expect(plan).toMatchObject({ exitCode: 3, stderr: "" });
  expect(plan.stdout).toMatch(
    /^unknown {2}\S+ {2}it may be queued: cannot read the submissions in \S+\/submit: ENOENT\n/,
  );
});

test("an overview that could not be made says so in large, and calls nothing calm", async () => {
  const root = await temporaryRoot();
  const [grid, page] = [join(root, "grid.yaml"), join(root, "board.html")];
  writeFileSync(grid, "- strategy: [baseline\n");
  const board = await trainlock(["board", grid, "--export", page, "--root", root]);
  expect(board).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("grid.yaml") });
  const html = readFileSync(page, "utf8");
  expect(html).toMatch(/<title>no overview/);
  expect(html).toContain("<b>No overview could be made.</b>");
  expect(html).not.toMatch(/0<\/b> of|Nothing is stuck|Nobody trains/);
});
