import { readFileSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, holdWithRun } from "../support/trainlock.ts";

const test = requiresPrograms("bash");
const page = readFileSync(fileURLToPath(new URL("../../docs/job-scripts.md", import.meta.url)), "utf8");
const recipes = new Map(
  [...page.matchAll(/<!-- recipe: (\S+) -->\n```bash\n([\s\S]*?)```/g)].map(([, name = "", script = ""]) => [
    name,
    script,
  ]),
);

/**
 * Commands that a job has and a test has not: each writes down that it ran, and under which generation. A training leaves a
 * checkpoint, else no done file is written.
 */
const standIn = `#!/bin/sh
echo "$(basename "$0") $* generation=$TRAINLOCK_GENERATION rank=$SLURM_PROCID" >>"$LOG"
case $1 in train.py) echo weights >"$TRAINLOCK_WEIGHTS_DIR/last.pth" ;; esac\n`;
const srun = `#!/bin/bash
for rank in 3 2 1 0; do
  SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=$rank "$@" & pids+=($!)
done
for pid in "\${pids[@]}"; do wait "$pid" || code=$?; done; exit \${code:-0}\n`;

interface Desk {
  readonly of: TestConfiguration;
  run(
    name: string,
    env?: Readonly<Record<string, string>>,
  ): Promise<{ exitCode: number | null; stderr: string; ran: string[] }>;
}

async function desk(): Promise<Desk> {
  const of = configuration(await temporaryRoot());
  const bin = join(of.root, "bin");
  await mkdir(bin);
  for (const [name, text] of Object.entries({ python: standIn, jupyter: standIn, srun })) {
    await writeFile(join(bin, name), text);
    await chmod(join(bin, name), 0o755);
  }
  let number = 0;
  return {
    of,
    run: async (name, env = {}) => {
      number += 1;
      const [script, log] = [join(of.root, `job${number}.sh`), join(of.root, `log${number}`)];
      await writeFile(log, "");
      await writeFile(script, (recipes.get(name) ?? "exit 99").replaceAll("/shared/project", of.root));
      const path = `${bin}:${dirname(executable)}:${process.env.PATH}`;
      const job = await finish("bash", [script], { env: environment({ ...env, PATH: path, LOG: log }) });
      const ran = (await readFile(log, "utf8")).split("\n").filter((line) => line !== "");
      return { exitCode: job.exitCode, stderr: job.stderr, ran };
    },
  };
}

test("the page has the recipes that are tried here", () => {
  const tried = ["array", "chained", "lsf", "lsf-array", "notebook", "ranks", "requeue", "slurm", "top-of-script"];
  expect([...recipes.keys()].sort()).toEqual(tried);
});

for (const [name, env] of Object.entries({ lsf: { LSB_JOBID: "11" }, slurm: { SLURM_JOB_ID: "12" } })) {
  test(`${name}: trains, skips what is taken or done`, async () => {
    const { of, run } = await desk();
    expect(await run(name, env)).toMatchObject({ exitCode: 0, ran: ["python train.py generation=1 rank="] });
    const holder = await holdWithRun(of.args);
    expect(await run(name, env)).toMatchObject({
      exitCode: 0,
      ran: [],
      stderr: expect.stringContaining("SKIP: Another"),
    });
    holder.closeInput();
    await holder.finished;
    await writeFile(join(of.weightsDir, "iter_80000.pth"), Buffer.alloc(4096));
    expect(await run(name, env)).toMatchObject({
      exitCode: 0,
      ran: [],
      stderr: expect.stringContaining("iter_80000.pth"),
    });
  });
}

test("top of script: starts itself again once, also in a job that a job under trainlock has submitted", async () => {
  const { of, run } = await desk();
  const steps = (generation: number) => [
    `python prepare.py generation=${generation} rank=`,
    `python train.py --work-dir ${of.weightsDir} generation=${generation} rank=`,
    `python evaluate.py generation=${generation} rank=`,
  ];
  expect(await run("top-of-script")).toMatchObject({ exitCode: 0, ran: steps(1) });
  const inherited = { TRAINLOCK_PID: "1", TRAINLOCK_TOKEN: "0".repeat(32), TRAINLOCK_GENERATION: "9" };
  expect(await run("top-of-script", inherited)).toMatchObject({ exitCode: 0, ran: steps(2) });
});

const arrays = {
  array: ["0", "1", "2"].map((index) => ({ SLURM_JOB_ID: "20", SLURM_ARRAY_TASK_ID: index })),
  "lsf-array": ["1", "2", "3"].map((index) => ({ LSB_JOBID: "21", LSB_JOBINDEX: index })),
};
for (const [name, elements] of Object.entries(arrays)) {
  test(`${name}: each element its own configuration, a second submission has nothing to do`, async () => {
    const { run } = await desk();
    for (const expected of [1, 0]) {
      for (const element of elements) {
        const job = await run(name, element);
        expect(job.exitCode).toBe(0);
        expect(job.ran).toHaveLength(expected);
      }
    }
  });
}

test("chained: waits for the one that trains, then finds it done or trains", async () => {
  const { of, run } = await desk();
  const holder = await holdWithRun([...of.args, "--done-file", "trained.json"]);
  const job = run("chained");
  await writeFile(join(of.weightsDir, "last.pth"), "weights");
  holder.closeInput();
  expect(await job).toMatchObject({ exitCode: 0, ran: [] });
});

test("requeue: the second run of a job goes on", async () => {
  const { run } = await desk();
  const job = (count: string) => run("requeue", { SLURM_JOB_ID: "30", SLURM_RESTART_COUNT: count });
  expect(await job("0")).toMatchObject({ exitCode: 0, ran: ["python train.py --resume generation=1 rank="] });
  expect(await job("1")).toMatchObject({ exitCode: 0, ran: [] });
});

test("ranks: all four train under one claim, or none", async () => {
  const { of, run } = await desk();
  const job = await run("ranks", { SLURM_JOB_ID: "40" });
  expect(job).toMatchObject({ exitCode: 0 });
  expect(job.ran.sort()).toEqual([0, 1, 2, 3].map((rank) => `python train.py generation=1 rank=${rank}`));
  await holdWithRun(of.args);
  expect(await run("ranks", { SLURM_JOB_ID: "41" })).toMatchObject({ exitCode: 75, ran: [] });
});

test("notebook: runs under the lock", async () => {
  const { run } = await desk();
  expect(await run("notebook")).toMatchObject({ exitCode: 0, ran: ["jupyter lab --no-browser generation=1 rank="] });
});
