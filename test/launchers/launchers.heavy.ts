import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { requiresPrograms, withoutWhatItNeeds } from "../support/requirements.ts";
import { holdWithRun } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { type Desk, debianTorchrun, desk, namesOf, recipes } from "./recipes.ts";

const recipe = (name: string) => recipes.get(name) ?? "exit 99";
const codesOf = (runs: readonly ReturnType<Desk["start"]>[]) =>
  Promise.all(runs.map(async ({ finished }) => (await finished).exitCode));
const ranksOf = async (at: Desk) => (await at.trained()).map(({ rank }) => rank).sort();

describe("snakemake", () => {
  const models = ["deeplabv3plus_r50", "segformer_mit-b5"];
  const withSnakemake = requiresPrograms("snakemake", "python3");
  const workflow = async (text = recipe("snakemake")) => {
    const at = await desk();
    await at.write("Snakefile", text);
    return { at, run: (options = "") => at.start(`snakemake -j 2 --quiet all ${options}`) };
  };

  withSnakemake("trains each configuration once, and has nothing to do after that", async () => {
    const { at, run } = await workflow();
    expect(await run().finished).toMatchObject({ exitCode: 0 });
    expect(namesOf(await at.trained())).toEqual(models);
    expect(await run().finished).toMatchObject({ exitCode: 0 });
    expect(namesOf(await at.trained())).toEqual(models);
  });

  withSnakemake("waits for another job, and leaves what that one writes", async () => {
    const { at, run } = await workflow();
    const of = at.of("deeplabv3plus_r50");
    const holder = await holdWithRun([...of.args, "--done-file", "trained.json"]);
    const running = run();
    await until("the other to be trained", async () => ((await at.trained()).length > 0 ? true : null), 60_000);
    writeFileSync(join(of.weightsDir, "last.pth"), "weights");
    holder.closeInput();
    expect(await running.finished).toMatchObject({ exitCode: 0 });
    expect(namesOf(await at.trained())).toEqual(["segformer_mit-b5"]);
    expect(readFileSync(join(of.weightsDir, "last.pth"), "utf8")).toBe("weights");
  });

  // What the page warns of: should Snakemake stop doing so, the page has to be changed.
  withSnakemake("deletes a checkpoint that is an output of a job that was turned away", async () => {
    const text = recipe("snakemake").replaceAll('trained.json"', 'last.pth"').replace(" --wait", "");
    const { at, run } = await workflow(text);
    const of = at.of("deeplabv3plus_r50");
    const holder = await holdWithRun(of.args);
    const checkpoint = join(of.weightsDir, "last.pth");
    writeFileSync(checkpoint, "half");
    expect((await run("--forceall").finished).exitCode).not.toBe(0);
    expect(existsSync(checkpoint)).toBe(false);
    holder.closeInput();
  });
});

describe("mpirun", () => {
  const withMpi = requiresPrograms("mpirun", "python3");
  const asRoot = {
    OMPI_ALLOW_RUN_AS_ROOT: "1",
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
    OMPI_MCA_rmaps_base_oversubscribe: "1",
  };

  for (const name of ["mpirun", "mpirun-ranks"])
    withMpi(`${name}: twice at once, one trains with all its ranks; one after the other, both do`, async () => {
      const at = await desk();
      const start = () => at.start(recipe(name), { ...asRoot, LASTS: "3" });
      expect((await codesOf([start(), start()])).sort()).toEqual([0, 75]);
      expect(await ranksOf(at)).toEqual(["0", "1"]);
      expect(await codesOf([start()])).toEqual([0]);
      expect(await ranksOf(at)).toEqual(["0", "0", "1", "1"]);
    });
});

requiresPrograms("tsp", "python3")("task-spooler: twice at once, each configuration is trained once", async () => {
  const at = await desk();
  const socket = { TS_SOCKET: join(at.root, "socket"), TMPDIR: at.root };
  const both = [at.start(recipe("tsp"), socket), at.start(recipe("tsp"), socket)];
  for (const running of both) expect(await running.finished).toMatchObject({ exitCode: 0 });
  await at.start("tsp -w; tsp -K", socket).finished;
  expect(namesOf(await at.trained())).toEqual(["deeplabv3plus_r50", "segformer_mit-b5"]);
});

const hasTorch =
  spawnSync("/usr/bin/python3", ["-c", "import torch.distributed.run"], { stdio: "ignore" }).status === 0;
const withTorch = hasTorch ? requiresPrograms("python3") : withoutWhatItNeeds("python3-torch");

describe("torchrun", () => {
  for (const [name, code] of [
    ["torchrun", 75],
    ["torchrun-ranks", 1],
  ] as const)
    withTorch(`${name}: twice at once, one trains with all its workers; one after the other, both do`, async () => {
      const at = await desk();
      await at.program("torchrun", debianTorchrun);
      const start = () => at.start(recipe(name), { LASTS: "8" });
      expect((await codesOf([start(), start()])).sort()).toEqual([0, code]);
      expect(await ranksOf(at)).toEqual(["0", "1"]);
      expect(await codesOf([start()])).toEqual([0]);
      expect(await ranksOf(at)).toEqual(["0", "0", "1", "1"]);
      expect(existsSync(at.of("deeplabv3plus_r50").weightsDir)).toBe(true);
    });
});
