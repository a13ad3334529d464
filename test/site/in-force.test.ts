import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

const names = ["--strategy", "gen_IP2P", "--dataset", "idd-aw", "--model", "segformer_mit-b5"];

const site = `
datasets: [IDD-AW]
dimensions:
  seed: { type: integer }
lock_dir: locks
weights:
  - when: { stage: 2 }
    path: WEIGHTS_STAGE_2/{strategy}/{dataset|lower|no_hyphens}/{model}{ratio}{aux_loss}{seed}
  - WEIGHTS/{strategy}/{dataset|lower}_cd/{model}{ratio}{aux_loss}{seed}
timeouts: { ssh: 2s }
`;

async function siteRoot(text: string): Promise<string> {
  const root = await temporaryRoot();
  writeFileSync(join(root, "trainlock.yaml"), text);
  return root;
}

test("init writes a file that changes nothing, once", async () => {
  const root = await temporaryRoot();
  const file = join(root, "trainlock.yaml");
  expect(await trainlock(["init", "--root", root])).toMatchObject({ exitCode: 0, stdout: `Wrote ${file}\n` });
  const written = readFileSync(file, "utf8");
  expect(await trainlock(["init", "--root", root])).toMatchObject({ exitCode: 2 });
  const lines = readFileSync(file, "utf8").split("\n");
  expect(lines.filter((line) => line.length > (line.startsWith("## ") ? 80 : 100))).toEqual([]);
  expect(readFileSync(file, "utf8")).toBe(written);
  const { stdout } = await trainlock(["config", "--root", root, ...names]);
  expect(stdout).toContain(`${root}/WEIGHTS/gen_IP2P/idd-aw_cd/segformer_mit-b5\n`);
  expect(stdout).toContain(`${root}/training_locks/gen_IP2P_idd_aw_segformer_mit-b5.lock\n`);
});

test("the examples that init writes are valid when they are put in force", async () => {
  const root = await temporaryRoot();
  await trainlock(["init", "--root", root]);
  const file = join(root, "trainlock.yaml");
  const text = readFileSync(file, "utf8").replace(/^# /gm, "").replace("group: project", "group: 0");
  writeFileSync(file, text);
  const { stdout, stderr, exitCode } = await trainlock(["config", "--root", root, "--json"]);
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  expect(JSON.parse(stdout).settings.filter(({ from }: { from: string }) => from === "default")).toEqual([]);
});

test("leaves out no key that the site's page has", async () => {
  const root = await siteRoot("grid:\n  - { strategy: a, dataset: b, model: c }\n");
  const { settings } = JSON.parse((await trainlock(["config", "--root", root, "--json"])).stdout);
  const printed = settings.map(({ key }: { key: string }) => key.split(".")[0]);
  const page = readFileSync(new URL("../../docs/site-configuration.md", import.meta.url), "utf8");
  const table = page.slice(page.indexOf("| `version`"), page.indexOf("| `store`"));
  const keys = [...table.matchAll(/^\| ([^|]+)\|/gm)].flatMap(([, cell = ""]) => cell.match(/[a-z_]+/g) ?? []);
  expect(keys.length).toBeGreaterThan(20);
  expect(keys.filter((key) => !printed.includes(key))).toEqual([]);
  expect(settings).toContainEqual({ key: "grid", value: "1 block", from: `${join(root, "trainlock.yaml")}:2` });
});

test("says what is in force, and who says so", async () => {
  const root = await siteRoot(site);
  const file = join(root, "trainlock.yaml");
  const { stdout } = await trainlock(["config", "--json", ...names, "--set", "seed=3", "--stage", "2"], {
    env: { PROVE_ROOT: root },
  });
  const { settings, names: own } = JSON.parse(stdout);
  const of = (key: string) => settings.find((setting: { key: string }) => setting.key === key);
  expect(of("root")).toEqual({ key: "root", value: root, from: "PROVE_ROOT" });
  expect(of("config")).toEqual({ key: "config", value: file, from: "the root" });
  expect(of("lock_dir")).toEqual({ key: "lock_dir", value: join(root, "locks"), from: `${file}:5` });
  expect(of("timeouts.ssh")).toEqual({ key: "timeouts.ssh", value: "2s", from: `${file}:10` });
  expect(of("timeouts.probe")).toMatchObject({ from: "default" });
  expect(own).toEqual({
    name: "gen_IP2P/iddaw/segformer_mit-b5_seed3",
    weightsDir: join(root, "WEIGHTS_STAGE_2/gen_IP2P/iddaw/segformer_mit-b5_seed3"),
    kernelLock: join(root, "locks/s2_gen_IP2P_idd_aw_segformer_mit-b5_seed3.lock"),
  });
});

test("--config goes before TRAINLOCK_CONFIG, and that before the file in the root", async () => {
  const root = await siteRoot("lock_dir: a\n");
  writeFileSync(join(root, "b.yaml"), "lock_dir: b\n");
  writeFileSync(join(root, "c.yaml"), "lock_dir: c\n");
  const lockDir = async (args: readonly string[], env: Record<string, string>) => {
    const { stdout } = await trainlock(["config", "--json", "--root", root, ...args], { env });
    const { value, from } = JSON.parse(stdout).settings[2];
    return [value.slice(root.length + 1), from.slice(root.length + 1)];
  };
  expect(await lockDir([], {})).toEqual(["a", "trainlock.yaml:1"]);
  expect(await lockDir([], { TRAINLOCK_CONFIG: join(root, "b.yaml") })).toEqual(["b", "b.yaml:1"]);
  expect(await lockDir(["--config", join(root, "c.yaml")], { TRAINLOCK_CONFIG: join(root, "b.yaml") })).toEqual([
    "c",
    "c.yaml:1",
  ]);
  expect(await trainlock(["config", "--root", root, "--config", join(root, "none")])).toMatchObject({ exitCode: 3 });
});

test("runs of different seeds go on together, of the same they exclude each other", async () => {
  const root = await siteRoot(site);
  const with3 = ["--root", root, ...names, "--set", "seed=3"];
  const with4 = ["--root", root, ...names, "--set", "seed=4"];
  await holdWithRun(with3);
  await holdWithRun(with4);
  expect(await trainlock(["run", ...with3, "--", "true"])).toMatchObject({ exitCode: 75 });
  expect(await trainlock(["check", "--root", root, ...names, "--set", "seed=5"])).toMatchObject({ exitCode: 0 });
  const { locks } = JSON.parse((await trainlock(["list", "--root", root, "--json"])).stdout);
  expect(locks.map(({ kind, name, status }: Record<string, string>) => [kind, name, status])).toEqual([
    ["file", "gen_IP2P/idd-aw/segformer_mit-b5_seed3", "active"],
    ["file", "gen_IP2P/idd-aw/segformer_mit-b5_seed4", "active"],
    ["fcntl", "gen_IP2P/idd-aw/segformer_mit-b5_seed3", "active"],
    ["fcntl", "gen_IP2P/idd-aw/segformer_mit-b5_seed4", "active"],
  ]);
});

test("markers of old jobs in any of the folders are found, those elsewhere are nobody's", async () => {
  const root = await siteRoot(site);
  const place = (path: string) => {
    mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, path, ".training_lock"), "");
  };
  place("WEIGHTS/baseline/idd-aw_cd/m_seed1");
  place("WEIGHTS_STAGE_2/baseline/iddaw/m_seed1");
  place("WEIGHTS/baseline/idd-aw_cd/m_seed1/iter_1");
  place("WEIGHTS/baseline/unknown_cd/m_seed1");
  place("WEIGHTS_STAGE_3/baseline/iddaw/m_seed1");
  const { locks } = JSON.parse((await trainlock(["list", "--root", root, "--json"])).stdout);
  expect(locks.map(({ path }: { path: string }) => path.slice(root.length + 1))).toEqual([
    "WEIGHTS/baseline/idd-aw_cd/m_seed1/.training_lock",
    "WEIGHTS_STAGE_2/baseline/iddaw/m_seed1/.training_lock",
  ]);
});

const wrongCalls: readonly (readonly [args: readonly string[], message: string])[] = [
  [["--set", "sed=3"], 'the site declares no dimension "sed"\n  did you mean seed?'],
  [[], "--set seed is missing"],
  [["--set", "seed"], '--set "seed" is not name=value'],
  [["--set", "seed=x"], '--set seed: seed "x" is not an integer of 0 or more'],
  [["--set", "seed=1", "--set", "seed=2"], "--set seed is given twice"],
  [["--set", "model=x", "--set", "seed=2"], "--set model: it has an option of its own\n  give --model"],
  [
    ["--set", "seed=1", "--dataset", "IDDAW"],
    '--dataset "IDDAW" is not among the datasets of this site\n  did you mean IDD-AW?',
  ],
];

test.each(wrongCalls)("refuses %j", async (args, message) => {
  const root = await siteRoot(site);
  const { exitCode, stderr } = await trainlock(["run", "--root", root, ...names, ...args, "--", "true"]);
  expect(stderr).toContain(message);
  expect(exitCode).toBe(2);
});

test("a file in the root that is a link is not followed, one that is named may be", async () => {
  const root = await temporaryRoot();
  writeFileSync(join(root, "real.yaml"), "lock_dir: a\n");
  symlinkSync(join(root, "real.yaml"), join(root, "trainlock.yaml"));
  expect(await trainlock(["list", "--root", root])).toMatchObject({ exitCode: 3 });
  expect(await trainlock(["list", "--root", root, "--config", join(root, "trainlock.yaml")])).toMatchObject({
    exitCode: 0,
  });
});

requiresPrograms("root")("what is created gets the declared group and mode", async () => {
  const root = await siteRoot("group: 54321\nmode: 0640\n");
  await holdWithRun(["--root", root, ...names]);
  const modes = ["training_locks", "training_locks/gen_IP2P_idd_aw_segformer_mit-b5.lock", "WEIGHTS/gen_IP2P"].map(
    (path) => {
      const { gid, mode } = statSync(join(root, path));
      return [gid, (mode & 0o777).toString(8)];
    },
  );
  expect(modes).toEqual([
    [54321, "750"],
    [54321, "640"],
    [54321, "750"],
  ]);
});
