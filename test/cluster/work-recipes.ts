import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { until } from "../support/until.ts";
import { recipe } from "../work/recipe.ts";
import type { Cluster } from "./cluster.ts";
import { tool } from "./jobs.ts";

const rows = 20;

/**
 * Notes its host and its GPUs, waits for the gate, and leaves what shows its row to be done; one file a run, since flock stays on
 * a host.
 */
const train = `at=$(hostname)-$$-$TRAINLOCK_STRATEGY
echo "$TRAINLOCK_STRATEGY $(hostname) \${CUDA_VISIBLE_DEVICES:-none}" >began-$at
while [ ! -e go ]; do sleep 0.1; done
head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"
echo "$TRAINLOCK_STRATEGY" >ended-$at
`;

/** A project on the shared folder, with a grid, as users of the recipes have it. */
async function projectOn(cluster: Cluster, name: string) {
  const root = join(cluster.shared, name);
  const strategies = Array.from({ length: rows }, (_, index) => `s${index + 1}`);
  await cluster.ask("login", ["sh", "-c", `rm -rf ${root}; mkdir ${root}`]);
  const write = (file: string, text: string) =>
    cluster.ask("login", ["sh", "-c", `printf '%s' "$1" >${root}/${file}`, "sh", text]);
  await write("grid.yaml", `- { strategy: [${strategies.join(", ")}], dataset: D, model: m }\n`);
  await write("trainlock.yaml", "done: { when: [final.pth] }\n");
  await write("train.sh", train);
  const env = {
    PATH: `${dirname(tool)}:/usr/sbin:/usr/bin:/sbin:/bin`,
    TRAINLOCK_ROOT: root,
    CUDA_VISIBLE_DEVICES: "0,1,2,3",
  };
  /** Words of the files that runs have left, a run each. */
  const noted = async (what: "began" | "ended") => {
    const { stdout } = await cluster.on("login", ["sh", "-c", `cat ${root}/${what}-* 2>/dev/null`]);
    return stdout
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split(" "));
  };
  return {
    ...{ root, strategies, write, env, noted },
    inProject: (text: string) => text.replaceAll("/data/project", root).replaceAll("/shared/tools/bin/trainlock", tool),
    run: (script: string) => cluster.on("login", ["bash", "-c", `cd ${root}; ${script}`], { env }),
    open: () => cluster.ask("login", ["touch", `${root}/go`]),
    hosts: async () => new Set((await noted("began")).map(([, host]) => host)),
    untilDone: () =>
      until(
        "all are done",
        async () =>
          (await cluster.on("login", [tool, "plan", `${root}/grid.yaml`, "--root", root, "--require", "done"]))
            .exitCode === 0
            ? true
            : null,
        90_000,
      ),
  };
}

/** The recipes of docs/work.md that need hosts and a scheduler, on real ones. The others are in test/work. */
export function workRecipesSuite(theCluster: () => Cluster): void {
  describe("recipes of docs/work.md", () => {
    test("several machines over ssh: a worker on each, and each row is trained once", async () => {
      const cluster = theCluster();
      const project = await projectOn(cluster, "boxes");
      nameBoxes(cluster, { box1: "10.77.0.1", box2: "10.77.0.11", box3: "10.77.0.12", box4: "10.77.0.11" });
      // As a user has it whose programs are not where the system's are.
      const bashrc = join(cluster.folder, "home", ".bashrc");
      writeFileSync(
        bashrc,
        Object.entries(project.env)
          .map(([name, value]) => `export ${name}=${value}\n`)
          .join(""),
      );
      onTestFinished(() => writeFileSync(bashrc, ""));
      expect(await project.run(project.inProject(recipe("for host in box1")))).toMatchObject({
        exitCode: 0,
        stderr: "",
      });
      await until("a row on each host", async () => ((await project.hosts()).size === 3 ? true : null), 60_000);
      await project.open();
      await project.untilDone();
      expect((await project.noted("ended")).flat().sort()).toEqual(project.strategies.toSorted());
      for (const [, , gpus] of await project.noted("began")) expect(gpus).toMatch(/^[0-3]$/);
      for (const host of ["login", "node01", "node02"]) {
        const log = ["cat", `${project.root}/work-${host}.log`];
        const summary = async () => /^\d+ trained/m.exec(await cluster.ask("login", log));
        await until(`a worker of ${host} has ended`, summary, 30_000);
      }
    }, 180_000);

    test("workers inside an allocation: one on each node; after the scheduler's warning the next job goes on", async () => {
      const cluster = theCluster();
      const project = await projectOn(cluster, "allocation");
      await project.write("job.sh", `#!/bin/bash\n${recipe("#SBATCH --nodes=4")}`);
      // There are two nodes.
      const submit = `sbatch --parsable --wait --nodes=2 --output=job-%j.out job.sh`;
      const first = project.run(submit);
      await until("a row on each node", async () => ((await project.hosts()).size === 2 ? true : null), 60_000);
      expect(await project.hosts()).toEqual(new Set(["node01", "node02"]));
      const job = (await cluster.ask("login", ["squeue", "-h", "--name=job.sh", "-o", "%i"])).trim();
      // As Slurm does ahead of the limit: to the steps, not to the batch shell.
      await cluster.ask("login", ["scancel", "--signal=USR1", job]);
      expect(await first).toMatchObject({ exitCode: 75 });
      const said = await cluster.ask("login", ["cat", `${project.root}/job-${job}.out`]);
      expect(said).toContain("SIGUSR1 is passed on; no further row is started");
      expect(await project.noted("ended")).toEqual([]);
      await project.open();
      const second = await project.run(submit);
      expect([0, 75], second.stdout + second.stderr).toContain(second.exitCode);
      await project.untilDone();
      expect((await project.noted("ended")).flat().sort()).toEqual(project.strategies.toSorted());
    }, 180_000);

    test("an array: dry, submitted with a GPU for each element; the line of cron finds nothing more", async () => {
      const project = await projectOn(theCluster(), "gpus");
      const submitted = await project.run(`unset CUDA_VISIBLE_DEVICES; ${recipe("trainlock submit grid.yaml --max")}`);
      expect(submitted).toMatchObject({
        exitCode: 0,
        stdout: expect.stringMatching(new RegExp(`^submitted ${rows} rows as job \\d+ \\(--gres=gpu:1\\)\\n`)),
        stderr: expect.stringMatching(/^nothing to submit: \d+ queued by root \(job \d+\)/),
      });
      await until("some run", async () => ((await project.noted("began")).length >= 4 ? true : null), 60_000);
      const cron = project.inProject(recipe("0 * * * *")).replace(/^0 \* \* \* \* +/, "");
      expect(await project.run(`cd /; unset TRAINLOCK_ROOT; ${cron}`)).toMatchObject({
        exitCode: 0,
        stdout: "",
        stderr: "",
      });
      await project.open();
      await project.untilDone();
      expect((await project.noted("ended")).flat().sort()).toEqual(project.strategies.toSorted());
      for (const [, , gpu] of await project.noted("began")) expect(gpu).toMatch(/^\d$/);
    }, 180_000);
  });
}

/** More names for hosts of the cluster, as a user's machines have them. */
function nameBoxes({ folder }: Cluster, boxes: Readonly<Record<string, string>>): void {
  const key = readFileSync(join(folder, "hostkey.pub"), "utf8").split(" ").slice(0, 2).join(" ");
  // Bound into each host as /etc/hosts: the same file, written on.
  for (const [name, address] of Object.entries(boxes)) {
    appendFileSync(join(folder, "hosts"), `${address} ${name}\n`);
    appendFileSync(join(folder, "known_hosts"), `${name} ${key}\n`);
  }
}
