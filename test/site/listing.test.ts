import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { defaultLayout } from "../../src/model/layout.ts";
import { weightsFolders, weightsFoldersHolding } from "../../src/operations/weights-folders.ts";
import { requires } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, trainlock } from "../support/trainlock.ts";

function folder(root: string, path: string, marker = true): string {
  mkdirSync(join(root, path), { recursive: true });
  if (marker) writeFileSync(join(root, path, ".training_lock"), "");
  return join(root, path);
}

async function listedPaths(root: string): Promise<string[]> {
  const { stdout } = await trainlock(["list", "--root", root, "--json"]);
  return JSON.parse(stdout).locks.map(({ path }: { path: string }) => path.slice(root.length + 1));
}

test("links below the root are not followed, loops among them least of all", async () => {
  const root = await temporaryRoot();
  const outside = await temporaryRoot();
  folder(outside, "a/b_cd/m");
  const model = folder(root, "WEIGHTS/a/b_cd/m");
  symlinkSync("..", join(root, "WEIGHTS/a/loop"));
  symlinkSync(model, join(root, "WEIGHTS/a/b_cd/again"));
  symlinkSync(join(outside, "a"), join(root, "WEIGHTS/outside"));
  symlinkSync(join(outside, "a/b_cd/m"), join(root, "WEIGHTS/a/b_cd/outside"));
  expect(await listedPaths(root)).toEqual(["WEIGHTS/a/b_cd/m/.training_lock"]);
});

test("a top folder that is a link out of the root is said, and not entered", async () => {
  const root = await temporaryRoot();
  const outside = await temporaryRoot();
  folder(outside, "a/b_cd/m");
  symlinkSync(outside, join(root, "WEIGHTS"));
  const { exitCode, stdout, stderr } = await trainlock(["list", "--root", root]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: "No active training locks\n" });
  expect(stderr).toContain(`${root}/WEIGHTS: leads out of the root`);
});

test("the root itself may be reached by a link", async () => {
  const root = await temporaryRoot();
  folder(root, "real/WEIGHTS/a/b_cd/m");
  symlinkSync(join(root, "real"), join(root, "link"));
  expect(await listedPaths(join(root, "link"))).toEqual(["WEIGHTS/a/b_cd/m/.training_lock"]);
});

test("neither above the weights folders nor within them", async () => {
  const root = await temporaryRoot();
  folder(root, "WEIGHTS/a/b_cd/m/iter_1");
  folder(root, "WEIGHTS/a/b_cd");
  writeFileSync(join(root, "WEIGHTS/a/b_cd/file"), "");
  expect(await listedPaths(root)).toEqual([]);
});

test("each template's tree to its own depth, folders of known names entered without listing", async () => {
  const root = await temporaryRoot();
  const paths = ["RUNS/current/b/a/m", "deep/a/b/weights/m/out"];
  writeFileSync(
    join(root, "trainlock.yaml"),
    `weights:
  - when: { stage: 1 }
    path: deep/{strategy}/{dataset}/weights/{model}{ratio}{aux_loss}/out
  - RUNS/current/{dataset}/{strategy}/{model}{ratio}{aux_loss}
`,
  );
  for (const path of [...paths, "deep/a/b/other/m/out", "deep/a/b/weights/m/out2", "RUNS/old/b/a/m"])
    folder(root, path);
  const { stdout } = await trainlock(["list", "--root", root, "--json"]);
  const { locks } = JSON.parse(stdout);
  expect(locks.map(({ path }: { path: string }) => path)).toEqual(
    paths.map((path) => join(root, path, ".training_lock")),
  );
  expect(locks.map(({ name }: { name: string }) => name)).toEqual(["a/b/m", "a/b/m"]);
});

requires("root", "setpriv")("what may not be looked into is said once, and the rest is listed", async () => {
  const root = await temporaryRoot();
  chmodSync(root, 0o755);
  folder(root, "WEIGHTS/a/b_cd/open");
  chmodSync(folder(root, "WEIGHTS/a/b_cd/closed"), 0);
  folder(root, "WEIGHTS/shut/b_cd/m");
  chmodSync(join(root, "WEIGHTS/shut"), 0);
  const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
  const { exitCode, stdout, stderr } = await finish("setpriv", [...nobody, executable, "list", "--root", root]);
  expect(exitCode).toBe(3);
  expect(stdout).toContain(`${root}/WEIGHTS/a/b_cd/open/.training_lock`);
  for (const path of ["WEIGHTS/a/b_cd/closed", "WEIGHTS/shut"])
    expect(stderr.split(`${root}/${path}:`), stderr).toHaveLength(2);
});

test("folders that vanish meanwhile are no fault", async () => {
  const root = await temporaryRoot();
  const layout = defaultLayout(root);
  for (let n = 0; n < 10; n += 1) folder(root, `WEIGHTS/a${n}/b_cd/m`);
  const faults: string[] = [];
  const walk = weightsFoldersHolding(layout, ".training_lock", (path) => faults.push(path));
  expect(walk.next().done).toBe(false);
  await finish("rm", ["-r", join(root, "WEIGHTS")]);
  expect([...walk]).toEqual([]);
  expect([...weightsFolders(layout, (path) => faults.push(path))]).toEqual([]);
  expect(faults).toEqual([]);
});
