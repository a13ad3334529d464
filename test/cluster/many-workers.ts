import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { RunningProcess } from "../support/running-process.ts";
import { until } from "../support/until.ts";
import type { Cluster, HostName } from "./cluster.ts";
import { killOn, tool } from "./jobs.ts";

const hosts: readonly HostName[] = ["login", "node01", "node02"];

interface NotedRun {
  readonly row: string;
  readonly host: string;
  readonly wrapper: number;
  readonly from: bigint;
  /** Null: it has not come to its end. */
  readonly to: bigint | null;
}

/**
 * Workers on three hosts share a grid on a GlusterFS, several on each, while workers and wrappers of rows are killed and workers
 * are started again. Judged by what the commands noted themselves, each into a file of its own.
 */
export async function trainByWorkers(
  cluster: Cluster,
  name: string,
  { rows, onEach, kills }: { readonly rows: number; readonly onEach: number; readonly kills: number },
): Promise<{ readonly seconds: number; readonly killed: number }> {
  const lab = new Workers(cluster, name, rows);
  await lab.prepare();
  const began = performance.now();
  const workers = hosts.flatMap((host) => Array.from({ length: onEach }, () => host)).map((host) => lab.start(host));
  await until(
    "a row on each host",
    () => (new Set(lab.runs().map(({ host }) => host)).size === 3 ? true : null),
    90_000,
  );
  await lab.open();
  const killed = await killSome(lab, workers, kills);
  for (const { process } of workers) {
    const { exitCode, stdout, stderr } = await process.finished;
    expect(exitCode, stdout + stderr).toBe(0);
  }
  const seconds = (performance.now() - began) / 1000;
  await lab.judge();
  return { seconds, killed };
}

interface StartedWorker {
  readonly host: HostName;
  readonly pid: () => Promise<number>;
  readonly process: RunningProcess;
}

/** In turn a worker, which is started again, and the wrapper of a row that runs. */
async function killSome(lab: Workers, workers: StartedWorker[], kills: number): Promise<number> {
  let killed = 0;
  for (let kill = 0; kill < kills; kill += 1) {
    const seen = lab.ended();
    await until("progress", () => (lab.ended() > seen || lab.isOver() ? true : null), 60_000);
    if (lab.isOver()) break;
    if (kill % 2 === 0) {
      const at = kill % workers.length;
      const victim = workers[at] as StartedWorker;
      await lab.kill(victim.host, await victim.pid());
      workers[at] = lab.start(victim.host);
    } else {
      const living = lab.runs().find(({ to }) => to === null);
      if (living !== undefined) await lab.kill(living.host as HostName, living.wrapper);
    }
    killed += 1;
  }
  return killed;
}

class Workers {
  readonly #cluster: Cluster;
  readonly #root: string;
  readonly #ran: string;
  readonly #names: readonly string[];
  #started = 0;

  constructor(cluster: Cluster, name: string, rows: number) {
    this.#cluster = cluster;
    this.#root = join(cluster.folder, "gluster", name);
    // As the file server has it: this process does not see the hosts' mounts.
    this.#ran = join(cluster.folder, "brick", name, "ran");
    this.#names = Array.from({ length: rows }, (_, index) => `s${index + 1}`);
  }

  async prepare(): Promise<void> {
    const grid = `strategy,dataset,model\n${this.#names.map((name) => `${name},D,m\n`).join("")}`;
    const script = `mkdir -p "$1/ran" "$1/pids" && printf '%s' "$2" >"$1/grid.csv" && printf '%s' "$3" >"$1/trainlock.yaml"`;
    const site = "done: { when: [final.pth] }\nmax_attempts: 9\n";
    await this.#cluster.ask("login", ["sh", "-c", script, "sh", this.#root, grid, site]);
    // Its proof of how far locks reach is kept with the folder.
    await this.#cluster.ask("login", [tool, "doctor", "--root", this.#root, "--hosts", "node01,node02"]);
  }

  start(host: HostName): StartedWorker {
    this.#started += 1;
    const note = `${this.#root}/pids/${this.#started}`;
    const command = `at="${this.#root}/ran/$TRAINLOCK_STRATEGY+$TRAINLOCK_GENERATION"
      echo "$(hostname) $PPID $(date +%s%N)" >"$at"; until [ -e "${this.#root}/go" ]; do sleep 0.1; done; sleep 0.2
      head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"; date +%s%N >>"$at"`;
    const call = [tool, "work", `${this.#root}/grid.csv`, "--root", this.#root, "--wait", "--", "sh", "-c", command];
    const script = `echo $$ >${note}; cd ${this.#root}; exec "$@"`;
    const process = this.#cluster.start(host, ["sh", "-c", script, "sh", ...call], { timeoutMs: 600_000 });
    const pid = async () => Number((await this.#cluster.ask(host, ["cat", note])).trim());
    return { host, pid, process };
  }

  async open(): Promise<void> {
    await this.#cluster.ask("login", ["touch", `${this.#root}/go`]);
  }

  async kill(host: HostName, pid: number): Promise<void> {
    await killOn(this.#cluster, host, pid);
  }

  runs(): NotedRun[] {
    return readdirSync(this.#ran).flatMap((file) => {
      const [first = "", end] = readFileSync(join(this.#ran, file), "utf8").split("\n");
      const [, host = "", wrapper = "", from] = /^(\S+) (\d+) (\d+)$/.exec(first) ?? [];
      if (from === undefined) return [];
      const to = end === undefined || end === "" ? null : BigInt(end);
      return [{ row: file.split("+")[0] ?? "", host, wrapper: Number(wrapper), from: BigInt(from), to }];
    });
  }

  ended(): number {
    return this.runs().filter(({ to }) => to !== null).length;
  }

  isOver(): boolean {
    return this.ended() >= this.#names.length;
  }

  /** Each row was trained to its end once, no two runs of one overlap, and the plan says so. */
  async judge(): Promise<void> {
    const runs = this.runs();
    const ended = runs.filter(({ to }) => to !== null);
    expect(ended.map(({ row }) => row).sort()).toEqual(this.#names.toSorted());
    const overlapping = runs.filter((run) =>
      ended.some(
        (other) =>
          other !== run && other.row === run.row && other.from < (run.to ?? run.from) && run.from < (other.to ?? 0n),
      ),
    );
    expect(overlapping).toEqual([]);
    const plan = [tool, "plan", `${this.#root}/grid.csv`, "--root", this.#root, "--require", "done", "--json"];
    const { exitCode, stdout, stderr } = await this.#cluster.on("node02", plan);
    const { rows } = JSON.parse(stdout) as { readonly rows: readonly { readonly state: string }[] };
    // Each with its evidence: by the next look the reason may be gone.
    expect(
      rows.filter(({ state }) => state !== "done"),
      stderr,
    ).toEqual([]);
    expect(exitCode, stderr).toBe(0);
  }
}
