import { describe, expect, test } from "vitest";
import { submitterIn } from "../../src/run/submission.ts";
import { type Requirement, requiresPrograms } from "../support/requirements.ts";
import { holdWithRun } from "../support/trainlock.ts";
import { type Desk, desk, namesOf, recipes } from "./recipes.ts";

const models = ["deeplabv3plus_r50", "pspnet_r50", "segformer_mit-b5"];
const recipe = (name: string) => recipes.get(name) ?? "exit 99";

/** torchrun's way to start workers: sessions of their own, closed descriptors, its defaults, and as many starts as it is told. */
const torchrun = `#!/usr/bin/python3
import argparse, os, subprocess, sys
parser = argparse.ArgumentParser()
parser.add_argument("--nproc_per_node", type=int)
parser.add_argument("--max_restarts", type=int, default=0)
parser.add_argument("--no_python", action="store_true")
parser.add_argument("command", nargs=argparse.REMAINDER)
given = parser.parse_args()
command = given.command if given.no_python else [sys.executable, "-u"] + given.command
size = str(given.nproc_per_node)
for restart in range(given.max_restarts + 1):
    shared = dict(os.environ, WORLD_SIZE=size, LOCAL_WORLD_SIZE=size, GROUP_RANK="0", MASTER_ADDR="127.0.0.1",
        MASTER_PORT="29500", TORCHELASTIC_RUN_ID="none", TORCHELASTIC_RESTART_COUNT=str(restart))
    workers = [subprocess.Popen(command, env=dict(shared, RANK=str(r), LOCAL_RANK=str(r)), start_new_session=True, close_fds=True)
        for r in range(given.nproc_per_node)]
    if all([worker.wait() == 0 for worker in workers]): sys.exit(0)
sys.exit(1)
`;

interface Launcher {
  readonly needs: readonly Requirement[];
  prepare?(at: Desk): Promise<void>;
  readonly call: string;
  /** The exit code when one of the configurations is taken, and the others are trained. */
  readonly whenTaken: number;
}

test("the page has the recipes that are tried", () => {
  const light = ["loop", "make", "parallel", "timeout", "torchrun", "torchrun-ranks", "xargs"];
  const heavy = ["mpirun", "mpirun-ranks", "snakemake", "tsp"];
  expect([...recipes.keys()].sort()).toEqual([...light, ...heavy].sort());
});

const several: Readonly<Record<string, Launcher>> = {
  make: {
    needs: ["make"],
    prepare: (at) => at.write("Makefile", recipe("make")),
    call: "make -s -j 2",
    whenTaken: 0,
  },
  xargs: { needs: ["xargs"], call: recipe("xargs"), whenTaken: 123 },
  loop: {
    needs: ["bash"],
    prepare: (at) => at.write("models.txt", `${models.join("\n")}\n`),
    call: recipe("loop"),
    whenTaken: 0,
  },
  parallel: { needs: ["parallel"], call: recipe("parallel"), whenTaken: 0 },
};

describe.each(Object.entries(several))("%s", (_, { needs, prepare, call, whenTaken }) => {
  requiresPrograms("python3", ...needs)("started twice at once, it trains each configuration once", async () => {
    const at = await desk();
    await prepare?.(at);
    const both = [at.start(call), at.start(call)];
    for (const running of both) await running.finished;
    expect(namesOf(await at.trained())).toEqual(models);
    expect(await at.start(call).finished).toMatchObject({ exitCode: 0 });
    expect(namesOf(await at.trained())).toEqual(models);
  });

  requiresPrograms("python3", ...needs)("what another holds is left out, and the others are trained", async () => {
    const at = await desk();
    await prepare?.(at);
    const holder = await holdWithRun(at.of("pspnet_r50").args);
    expect(await at.start(call).finished).toMatchObject({ exitCode: whenTaken });
    expect(namesOf(await at.trained())).toEqual(models.filter((model) => model !== "pspnet_r50"));
    holder.closeInput();
  });
});

requiresPrograms("make", "python3")(
  "make without --on-locked skip stops at exit code 75, and with -k goes on",
  async () => {
    const at = await desk();
    await at.write("Makefile", recipe("make").replace(" --on-locked skip", ""));
    const holder = await holdWithRun(at.of("deeplabv3plus_r50").args);
    const stopped = await at.start("make -s").finished;
    expect(stopped).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("Error 75") });
    expect(await at.trained()).toEqual([]);
    expect(await at.start("make -s -k").finished).toMatchObject({ exitCode: 2 });
    expect(namesOf(await at.trained())).toEqual(["pspnet_r50", "segformer_mit-b5"]);
    holder.closeInput();
  },
);

requiresPrograms("parallel", "python3")("parallel --timeout ends the training of a wrapper that it kills", async () => {
  const at = await desk();
  const call = recipe("parallel").replace("--jobs 2", "--jobs 2 --timeout 1 --termseq KILL,0");
  await at.start(call, { LASTS: "20" }).finished;
  const free = await at.start(recipe("parallel").replace("--on-locked skip", "--wait=10s")).finished;
  expect(free).toMatchObject({ exitCode: 0 });
  expect((await at.trained()).filter(({ to }) => to !== null).length).toBe(models.length);
});

requiresPrograms("python3")("timeout around the training: exit code 124, and the lock is free", async () => {
  const at = await desk();
  const short = recipe("timeout").replace("20h", "0.5s");
  expect(await at.start(short, { LASTS: "20" }).finished).toMatchObject({ exitCode: 124 });
  expect(await at.start(recipe("timeout")).finished).toMatchObject({ exitCode: 0 });
});

describe("torchrun's way", () => {
  const start = async (name: string, env: Readonly<Record<string, string>> = {}) => {
    const at = await desk();
    await at.program("torchrun", torchrun);
    return { at, run: () => at.start(recipe(name), env) };
  };

  requiresPrograms("python3")("around the launcher: twice at once, one trains with all its workers", async () => {
    const { at, run } = await start("torchrun", { LASTS: "1" });
    const both = [run(), run()];
    const codes = await Promise.all(both.map(async ({ finished }) => (await finished).exitCode));
    expect(codes.sort()).toEqual([0, 75]);
    expect((await at.trained()).map(({ rank }) => rank).sort()).toEqual(["0", "1"]);
  });

  requiresPrograms("python3")(
    "in each worker: twice at once, one trains with all its ranks, whatever is started again",
    async () => {
      const { at, run } = await start("torchrun-ranks", { LASTS: "3" });
      const both = [run(), run()];
      const codes = await Promise.all(both.map(async ({ finished }) => (await finished).exitCode));
      expect(codes.sort()).toEqual([0, 1]);
      expect((await at.trained()).map(({ rank }) => rank).sort()).toEqual(["0", "1"]);
    },
  );
});

describe("the job is wrapped, not the queue", () => {
  const queues = [
    "sbatch job.sh",
    "bsub -q gpu bash job.sh",
    "qsub job.sh",
    "at now",
    "batch",
    "tsp bash job.sh",
    "env A=b nice -n 5 sbatch -p gpu job.sh",
    "condor_submit job.sub",
    "flux batch job.sh",
    "systemd-run --user bash job.sh",
    "docker run --rm -itd image bash job.sh",
    "docker run -v data:/data --gpus all -d image bash job.sh",
    "docker compose -f services.yaml up --detach",
    "tmux new-session -d -s a bash job.sh",
    "tmux -L own -f /dev/null new -ds a bash job.sh",
    "tmux send-keys -t a job.sh Enter",
  ];
  const waiting = [
    "python sbatch.py",
    "sbatch --wait job.sh",
    "sbatch -W job.sh",
    "bsub -K bash job.sh",
    "qsub -sync y job.sh",
    "tsp -f sleep 0",
    "srun bash job.sh",
    "bash sbatch",
    "flux run job.sh",
    "systemd-run --wait bash job.sh",
    "systemd-run --user --scope bash job.sh",
    "systemd-run -qt bash job.sh",
    "docker run --rm image bash job.sh",
    "docker run --rm -v data:/data image python train.py -d cuda",
    "podman run -d image bash job.sh",
    "tmux new-session -s data bash job.sh",
    "tmux new -s d python train.py -d cuda",
    "tmux -L d attach",
    "tmux",
    "screen -dmS a bash job.sh",
  ];
  const call = (queue: string, options = "") =>
    `trainlock run --strategy baseline --dataset IDD-AW --model pspnet_r50 ${options} -- ${queue}`;
  const submitting = async () => {
    const at = await desk();
    for (const name of ["sbatch", "tsp"]) await at.program(name, '#!/bin/sh\necho "submitted $0"\n');
    return at;
  };

  test.each(queues)("%s only submits", (line) => {
    expect(line.split(" ")).toContain(submitterIn(line.split(" ")));
  });

  test.each(waiting)("%s does not", (line) => {
    expect(submitterIn(line.split(" "))).toBe(null);
  });

  requiresPrograms("bash")("a submission is run, with one line that says when the lock ends", async () => {
    const at = await submitting();
    expect(await at.start(call("sbatch job.sh")).finished).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("submitted"),
      stderr: expect.stringMatching(/^trainlock: sbatch only submits a job: .*\n$/),
    });
    expect(await at.start(call("sbatch --wait job.sh")).finished).toMatchObject({ exitCode: 0, stderr: "" });
  });

  requiresPrograms("bash")(
    "with a done file, by option or by the site, it is refused and nothing is submitted",
    async () => {
      const at = await submitting();
      const refused = { exitCode: 2, stdout: "", stderr: expect.stringContaining("tsp only submits a job") };
      expect(await at.start(call("tsp bash job.sh", "--done-file trained.json")).finished).toMatchObject(refused);
      await at.write("trainlock.yaml", "done:\n  file: trained.json\n");
      expect(await at.start(call("tsp bash job.sh")).finished).toMatchObject(refused);
    },
  );
});
