import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Cluster } from "../cluster/cluster.ts";
import { sharedGlusterCluster } from "../cluster/gluster.ts";
import { tool } from "../cluster/jobs.ts";
import type { RunningProcess } from "../support/running-process.ts";
import { debianTorchrun } from "./recipes.ts";

/** Each process of a training notes when it lived, by the clock that all hosts share and not by any lock. */
const training = `
import os, socket, sys, time
weights = os.environ["TRAINLOCK_WEIGHTS_DIR"]
rank = os.environ.get("RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
log = os.open(os.path.join(weights, "train.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
def note(what):
    words = (time.time(), socket.gethostname(), os.getpid(), os.environ["TRAINLOCK_TOKEN"], sys.argv[1], what)
    os.write(log, ("%.6f %s %d %s %s %s\\n" % words).encode())
note("begin")
import torch
torch.set_num_threads(1)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(10):
    optimizer.zero_grad()
    model(torch.ones(8, 4)).sum().backward()
    optimizer.step()
    note("step")
    time.sleep(0.1)
if rank == "0":
    unfinished = os.path.join(weights, "unfinished.%d" % os.getpid())
    torch.save(model.state_dict(), unfinished)
    os.rename(unfinished, os.path.join(weights, "final.pth"))
    note("end")
`;

const rows = ["s1", "s2", "s3"].flatMap((strategy) =>
  ["d1", "d2", "d3"].flatMap((dataset) => ["m1", "m2", "m3", "m4"].map((model) => `${strategy}/${dataset}/${model}`)),
);
const run = (name: string, options = "") =>
  `trainlock run --name ${name} --done-when final.pth --done-min-size 1 --kill-after 1s ${options} --`;
const train = (launcher: string) => `/usr/bin/python3 train.py ${launcher}`;

/** Every launcher is given the whole grid, and is started again for as long as something is left. */
const launchers: Readonly<Record<string, string>> = {
  make: "make -k -j 2 -f Makefile",
  parallel: `shuf rows | parallel --will-cite --jobs 2 ${run("{}", "--on-locked skip --die-with-wrapper")} ${train("parallel")}`,
  xargs: `shuf rows | xargs -P 2 -I ROW ${run("ROW", "--on-locked skip")} ${train("xargs")}`,
  snakemake: "snakemake -j 2 --keep-going --nolock --rerun-incomplete --quiet all",
  torchrun: `while read -r row; do ${run("$row", "--on-locked skip")} /usr/bin/python3 torchrun --nproc_per_node 2 --master_port $((20000 + RANDOM % 9000)) train.py torchrun </dev/null; done < <(shuf rows)`,
  mpirun: `while read -r row; do ${run("$row", "--on-locked skip")} mpirun -n 2 ${train("mpirun")} </dev/null; done < <(shuf rows)`,
  slurm: `sbatch --wait --output=/dev/null --array=1-${rows.length}%2 --wrap '${run('$(sed -n "$SLURM_ARRAY_TASK_ID p" rows)', "--on-locked skip")} ${train("slurm")}'`,
};

const makefile = `ROWS := $(shell cat rows)
.PHONY: all $(ROWS)
all: $(ROWS)
$(ROWS):
\t${run("$@", "--on-locked skip")} ${train("make")}
`;

const snakefile = `ROWS = open("rows").read().split()
rule all:
    input: expand("marks/{row}", row=ROWS)
rule train:
    output: "marks/{row}"
    shell: "${run("{wildcards.row}", "--wait=20s")} ${train("snakemake")} && touch {output}"
`;

const cluster = sharedGlusterCluster();

test("36 trainings of torch by seven launchers at once, with kills at every level: each is trained once", async () => {
  const grid = await prepare(cluster());
  const kills = new Kills();
  let over = false;
  const repeat = async (name: string, script: string) => {
    for (let round = 1; !over && !grid.isTrained(); round += 1) {
      const running = grid.start(script);
      kills.add(running);
      await running.finished.catch(() => undefined);
      await sleep(500);
      if (round > 40) throw new Error(`${name} was started ${round} times, and rows are left: ${grid.left()}`);
    }
  };
  const killing = (async () => {
    while (!over && !grid.isTrained()) {
      await sleep(2000);
      kills.killOne();
    }
  })();
  try {
    await Promise.all(Object.entries(launchers).map(([name, script]) => repeat(name, script)));
  } finally {
    over = true;
    await killing;
  }
  const noted = rows.map((row) => [row, grid.notes(row)] as const);
  console.log({
    killed: kills.counts,
    launchers: countBy(noted.flatMap(([, notes]) => notes.filter(({ what }) => what === "end").map(({ by }) => by))),
  });
  expect(noted.filter(([, notes]) => notes.filter(({ what }) => what === "end").length > 1)).toEqual([]);
  expect(noted.flatMap(([row, notes]) => twoWriters(row, notes))).toEqual([]);
  expect(grid.left()).toEqual([]);
}, 1_500_000);

interface Note {
  readonly at: number;
  /** The claim that it was written under. */
  readonly token: string;
  readonly by: string;
  readonly what: string;
}

interface Grid {
  start(script: string): RunningProcess;
  left(): string[];
  isTrained(): boolean;
  notes(row: string): Note[];
}

/** A folder on the file system that all hosts share, with all that the launchers need. */
async function prepare({ folder, ask, start }: Cluster): Promise<Grid> {
  const [root, bin, outside] = [join(folder, "gluster", "all"), join(folder, "bin"), join(folder, "brick", "all")];
  mkdirSync(bin, { recursive: true });
  copyFileSync(tool, join(bin, "trainlock"));
  const files = {
    "train.py": training,
    torchrun: debianTorchrun,
    Makefile: makefile,
    Snakefile: snakefile,
    rows: `${rows.join("\n")}\n`,
  };
  await ask("login", ["mkdir", "-p", root]);
  for (const [name, text] of Object.entries(files))
    await ask("login", ["sh", "-c", 'printf %s "$1" >"$2"', "sh", text, join(root, name)]);
  await ask("login", [join(bin, "trainlock"), "doctor", "--root", root, "--hosts", "node01,node02"]);
  const env = {
    ...{ TRAINLOCK_ROOT: root, LAUNCHED: marker, OMP_NUM_THREADS: "1", PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin` },
    ...{ OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1", OMPI_MCA_rmaps_base_oversubscribe: "1" },
  };
  const weightsDir = (row: string) => join(outside, "WEIGHTS", row.replace(/\/(d\d)\//, "/$1_cd/"));
  const names = (path: string) => {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  };
  const left = () => rows.filter((row) => !names(weightsDir(row)).includes("final.pth"));
  return {
    start: (script) => start("login", ["bash", "-c", `cd ${root} && ${script}`], { env, timeoutMs: 1_400_000 }),
    left,
    isTrained: () => left().length === 0,
    notes: (row) => {
      if (!names(weightsDir(row)).includes("train.log")) return [];
      const lines = readFileSync(join(weightsDir(row), "train.log"), "utf8")
        .split("\n")
        .filter(Boolean);
      return lines.map((line) => {
        const [at = "", , , token = "", by = "", what = ""] = line.split(" ");
        return { at: Number(at), token, by, what };
      });
    },
  };
}

const marker = `all-at-once-${process.pid}`;

/** Kills processes of every level: launchers, wrappers, shells, ranks, whatever the launchers have begun. */
class Kills {
  readonly counts: Record<string, number> = {};
  readonly #launchers: RunningProcess[] = [];

  add(launcher: RunningProcess): void {
    this.#launchers.push(launcher);
  }

  killOne(): void {
    const ours = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && isOurs(pid));
    const pid = ours[Math.floor(Math.random() * ours.length)];
    if (pid === undefined) return;
    const name = commandOf(pid);
    try {
      process.kill(Number(pid), "SIGKILL");
      this.counts[name] = (this.counts[name] ?? 0) + 1;
    } catch {
      // It has ended by itself.
    }
  }
}

/** Begun by a launcher of this test: it has the variable that only they were given. */
function isOurs(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`LAUNCHED=${marker}`);
  } catch {
    return false;
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "?";
  }
}

/** Claims of one row that had a moment in common. */
function twoWriters(row: string, notes: readonly Note[]): string[] {
  const tokens = [...new Set(notes.map(({ token }) => token))];
  const lives = tokens
    .map((token) => {
      const own = notes.filter((note) => note.token === token);
      const times = own.map(({ at }) => at);
      return { by: own[0]?.by, from: Math.min(...times), to: Math.max(...times) };
    })
    .sort((a, b) => a.from - b.from);
  return lives.flatMap((life, index) =>
    lives
      .slice(0, index)
      .filter(({ to }) => to >= life.from)
      .map((before) => `${row}: ${before.by} until ${before.to}, ${life.by} from ${life.from}`),
  );
}

function countBy(names: readonly string[]): Record<string, number> {
  return Object.fromEntries([...new Set(names)].map((name) => [name, names.filter((each) => each === name).length]));
}
