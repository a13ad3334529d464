import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { finish } from "../support/running-process.ts";
import { environment, executable, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { recipe } from "./recipe.ts";
import { namesTo, type WorkSite, workSite } from "./site.ts";

/** Each notes its row, its GPUs and its host. */
const train = `echo "$TRAINLOCK_STRATEGY/$TRAINLOCK_STAGE $CUDA_VISIBLE_DEVICES \${HOST:-here} $*" >>ran
head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"
`;
/** What a recipe calls and a test has not: each does what counts for the workers. */
const programs = {
  // A command line for a shell on another host.
  ssh: '#!/bin/sh\nHOST=$1 exec sh -c "$2"\n',
  srun: `#!/bin/bash
[ "$1" = --ntasks-per-node=1 ] && shift
for node in n1 n2 n3 n4; do HOST=$node "$@" & pids+=($!); done
code=0; for pid in "\${pids[@]}"; do wait "$pid" || code=$?; done; exit $code
`,
  sbatch: '#!/bin/sh\ncat >"$ROOT/job.sh"; echo "$@" >>"$ROOT/submits"; echo 100\n',
  squeue: '#!/bin/sh\nif [ -e "$ROOT/job.sh" ]; then for i in 1 2 3; do echo "100|$i|PENDING|$(id -un)|0|"; done; fi\n',
  scontrol: "#!/bin/sh\necho 'ClusterName = c1'\n",
  bsub: '#!/bin/sh\ncat >"$ROOT/job.sh"; echo "Job <100> is submitted to default queue <normal>."\n',
  bjobs: `#!/bin/sh
printf '{"COMMAND":"bjobs","JOBS":3,"RECORDS":['; c=
for i in 1 2 3; do printf '%s{"JOBID":"100","JOBINDEX":"%s","STAT":"PEND","USER":"%s","EXEC_HOST":"","SUBMIT_TIME":"","START_TIME":"","FINISH_TIME":""}' "$c" $i "$(id -un)"; c=,; done
echo ']}'
`,
  lsid: "#!/bin/sh\nprintf 'IBM Spectrum LSF Standard 10.1.0.2\\n\\nMy cluster name is c1\\n'\n",
};

const inProject = (root: string, script: string) =>
  script.replaceAll("/data/project", root).replaceAll("/shared/tools/bin/trainlock", executable);

async function desk(rows: readonly string[] | string, ...named: (keyof typeof programs)[]) {
  const site = await workSite(rows);
  const bin = join(site.root, "bin");
  mkdirSync(bin);
  for (const name of named) {
    writeFileSync(join(bin, name), programs[name]);
    chmodSync(join(bin, name), 0o755);
  }
  site.write("train.sh", train);
  site.write("trainlock.yaml", "done: { when: [final.pth] }\n");
  const path = `${bin}:${dirname(executable)}:/usr/bin:/bin`;
  const run = (script: string, env: Readonly<Record<string, string>> = {}) =>
    finish("bash", ["-c", inProject(site.root, script)], {
      cwd: site.root,
      env: environment({ TRAINLOCK_ROOT: site.root, ROOT: site.root, PATH: path, ...env }),
      timeoutMs: 120_000,
    });
  return { ...site, run };
}

const trained = (site: WorkSite) => site.lines("ran").map((line) => line.split("/")[0]);

async function areAllDone(site: WorkSite): Promise<boolean> {
  const plan = ["plan", site.grid, "--root", site.root, "--scheduler", "none", "--require", "done"];
  return (await trainlock(plan)).exitCode === 0;
}

test("one machine: each row once, with its share of the GPUs", async () => {
  const site = await desk(namesTo(6));
  const env = { CUDA_VISIBLE_DEVICES: "4,5,6,7" };
  expect(await site.run(recipe("trainlock work grid.yaml --jobs 4"), env)).toMatchObject({ exitCode: 0 });
  expect(trained(site).sort()).toEqual(namesTo(6).sort());
  for (const line of site.lines("ran")) expect(line).toMatch(/^(s\d)\/ [4567] here \1 D m$/);
});

test("several machines: a command over ssh on each, and each row is trained once", async () => {
  const site = await desk(namesTo(6), "ssh");
  expect(await site.run(recipe("for host in box1"), { CUDA_VISIBLE_DEVICES: "0,1,2,3" })).toMatchObject({
    exitCode: 0,
  });
  await until("all are done", async () => ((await areAllDone(site)) ? true : null), 60_000);
  expect(trained(site).sort()).toEqual(namesTo(6).sort());
});

for (const [kind, variables] of [
  [
    "slurm",
    (index: number) => ({ SLURM_JOB_ID: `9${index}`, SLURM_ARRAY_JOB_ID: "100", SLURM_ARRAY_TASK_ID: `${index}` }),
  ],
  ["lsf", (index: number) => ({ LSB_JOBID: "100", LSB_JOBINDEX: `${index}` })],
] as const) {
  test(`an array of ${kind}: dry, submitted, and trained by its elements`, async () => {
    const site = await desk(
      namesTo(3),
      ...(kind === "slurm" ? (["sbatch", "squeue", "scontrol"] as const) : (["bsub", "bjobs", "lsid"] as const)),
    );
    // The dry run after it finds that all is queued.
    const { exitCode, stdout, stderr } = await site.run(recipe("trainlock submit grid.yaml --max-running 8"));
    expect(exitCode).toBe(0);
    expect(stdout).toContain("submitted 3 rows as job 100 (--gres=gpu:1)\n");
    expect(stderr).toMatch(/^nothing to submit: 3 queued by \S+ \(job 100\)\n$/);
    for (const index of [1, 2, 3]) expect((await site.run("bash job.sh", variables(index))).exitCode).toBe(0);
    expect(trained(site).sort()).toEqual(namesTo(3).sort());
  });
}

test("the line of cron submits what is free, and says nothing where nothing is", async () => {
  const site = await desk(namesTo(3), "sbatch", "squeue", "scontrol");
  const line = recipe("0 * * * *").replace(/^0 \* \* \* \* +/, "");
  // The scheduler's programs apart, cron has neither a PATH nor a root for it.
  const ofCron = { PATH: `${join(site.root, "bin")}:/usr/bin:/bin`, TRAINLOCK_ROOT: "" };
  const [first, second] = [await site.run(`cd /; ${line}`, ofCron), await site.run(`cd /; ${line}`, ofCron)];
  expect(first).toMatchObject({ exitCode: 0, stdout: "submitted 3 rows as job 100\n" });
  expect(second).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
  expect(site.lines("submits")).toHaveLength(1);
});

test("an allocation: a worker on each node; what there is no time for goes on in the next job", async () => {
  const site = await desk(namesTo(4), "srun");
  const job = (endsAt: number) => ({
    ...{ SLURM_JOB_ID: "7", SLURM_JOB_END_TIME: `${Math.floor(endsAt / 1000)}`, CUDA_VISIBLE_DEVICES: "0,1,2,3" },
  });
  const block = recipe("#SBATCH --nodes=4");
  expect((await site.run(block, job(Date.now() - 1000))).exitCode).toBe(75);
  expect(site.lines("ran")).toEqual([]);
  expect((await site.run(block, job(Date.now() + 3_600_000))).stderr).toBe("");
  expect(await areAllDone(site)).toBe(true);
  expect(trained(site).sort()).toEqual(namesTo(4).sort());
});

test("rows that need others are trained after them", async () => {
  const site = await desk(recipe("- { strategy: baseline"));
  site.write("trainlock.yaml", `done: { when: [final.pth] }\n${recipe("weights:")}`);
  expect(await site.run("trainlock work grid.yaml --wait --jobs 2 -- bash train.sh")).toMatchObject({ exitCode: 0 });
  expect(site.lines("ran").map((line) => line.split(" ")[0])).toEqual(["baseline/1", "baseline/2"]);
});
