import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

async function site(text = "") {
  const root = await temporaryRoot();
  if (text !== "") writeFileSync(join(root, "trainlock.yaml"), text);
  const config = async (...args: readonly string[]) =>
    trainlock(["config", "--root", root, "--json", ...args]).then(({ exitCode, stdout, stderr }) => ({
      exitCode,
      stderr,
      of: exitCode === 0 ? JSON.parse(stdout).names : null,
    }));
  return { root, config };
}

/** What a configuration is called, and the options that say it. */
const spelled = [
  ["baseline/idd-aw/deeplabv3plus_r50", ["baseline", "idd-aw", "deeplabv3plus_r50"], []],
  ["gen_IP2P/idd-aw/segformer_mit-b5_ratio0p50", ["gen_IP2P", "IDD-AW", "segformer_mit-b5"], ["--ratio", "0.5"]],
  ["s/d/m_ratio0p25_aux-focal", ["s", "D", "m"], ["--ratio", "0.25", "--aux-loss", "focal"]],
  ["s/d/m_aux-focal", ["s", "D", "m"], ["--aux-loss", "focal"]],
] as const;

const flags = ([strategy, dataset, model]: readonly [string, string, string]) =>
  ["--strategy", strategy, "--dataset", dataset, "--model", model] as const;

test.each(spelled)("--name %s is what the options say", async (name, three, more) => {
  const { config } = await site();
  const byName = await config("--name", name);
  expect(byName).toMatchObject({ exitCode: 0, stderr: "", of: { name } });
  const byOptions = await config(...flags(three), ...more);
  expect(byName.of.weightsDir).toBe(byOptions.of.weightsDir);
  expect(byName.of.kernelLock).toBe(byOptions.of.kernelLock);
});

test("datasets, models and dimensions are read as the site declares them; a stage is given beside", async () => {
  const { config } = await site(
    "datasets: [IDD-AW, BDD10k]\nmodels: [m, m_ratio0p50]\ndimensions: { seed: { type: integer, optional: true, prefix: _seed }, fold: { type: integer, optional: true, prefix: _f } }\n",
  );
  const named = await config("--name", "s/idd-aw/m_ratio0p25_seed3_f2", "--stage", "1");
  const spelledOut = ["--ratio", "0.25", "--set", "seed=3", "--set", "fold=2", "--stage", "1"];
  const byOptions = await config(...flags(["s", "IDD-AW", "m"]), ...spelledOut);
  expect(named).toEqual(byOptions);
  expect((await config("--name", "s/IDD-AW/m")).of.weightsDir).toBe(
    (await config("--name", "s/idd-aw/m")).of.weightsDir,
  );
  expect(await config("--name", "s/idd-aw/m_ratio0p50")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("fits s IDD-AW m ratio=0.5 and s IDD-AW m_ratio0p50"),
  });
  expect(await config("--name", "s/idd-a/m")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("IDD-AW") });
});

test.each([
  ["a/b", "is not STRATEGY/DATASET/MODEL"],
  ["a/b/c/d", "is not STRATEGY/DATASET/MODEL"],
  ["", "is not STRATEGY/DATASET/MODEL"],
  ["../b/c", "--strategy"],
  ["a/b/.", "--model"],
  ["a/b/c\n", "--model"],
])("--name %j is wrong", async (name, said) => {
  const { config } = await site();
  expect(await config("--name", name)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(said) });
});

test("what the name says is not said by an option, too", async () => {
  const { config } = await site();
  for (const [name, ...more] of [
    ["s/d/m", "--strategy", "s"],
    ["s/d/m_ratio0p50", "--ratio", "0.5"],
    ["s/d/m_aux-a", "--aux-loss", "b"],
  ]) {
    const told = expect.stringContaining(`and ${more[0]} say the same`);
    expect(await config("--name", name ?? "", ...more)).toMatchObject({ exitCode: 2, stderr: told });
  }
});

test("run, check, held and clear take a name; variables of the environment do not add to it", async () => {
  const { root } = await site();
  const of = ["--root", root, "--name", "s/d/m_ratio0p50"];
  const holder = await holdWithRun(of);
  const env = { TRAINLOCK_MODEL: "other", TRAINLOCK_NAME: "x/y/z" };
  expect(await trainlock(["check", ...of], { env })).toMatchObject({ exitCode: 1 });
  expect(await trainlock(["held", ...of, "--generation", "1"], { env })).toMatchObject({ exitCode: 0 });
  expect(await trainlock(["run", ...of, "--", "true"], { env })).toMatchObject({ exitCode: 75 });
  holder.closeInput();
  await holder.finished;
  expect(await trainlock(["check", ...of], { env })).toMatchObject({ exitCode: 0 });
  expect(await trainlock(["clear", ...of, "--no-dry-run"])).toMatchObject({ exitCode: 0 });
});
