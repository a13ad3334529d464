import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type RunningProcess, startProcess } from "./running-process.ts";
import { environment, trainlock } from "./trainlock.ts";
import { until } from "./until.ts";

const program = fileURLToPath(new URL("peers/many_flock_jobs.py", import.meta.url));

export type LabState = "done" | "running" | "quiet" | "stale" | "unknown" | "failed" | "free";

export interface LabRow {
  readonly strategy: string;
  readonly dataset: string;
  readonly model: string;
  readonly state: LabState;
  readonly user?: string;
  readonly step?: number;
}

const last = 80_000;
const hourMs = 3_600_000;

/** A lab's grid in which each row is in the state that it should be in, from a real cause: locks that processes hold, files. */
export class Lab {
  readonly root: string;
  readonly grid: string;
  /** The options that every look at this grid needs. */
  readonly args: readonly string[];
  readonly #holders: RunningProcess;
  #jobs = 0;

  constructor(root: string, rows: readonly LabRow[]) {
    this.root = root;
    this.grid = join(root, "grid.csv");
    this.args = [this.grid, "--root", root, "--done-when", `iter_${last}.pth`, "--scheduler", "none"];
    mkdirSync(join(root, "training_locks"));
    this.#holders = startProcess("python3", [program], { env: environment(), timeoutMs: 600_000 });
    const lines = rows.map(({ strategy, dataset, model }) => `${[strategy, dataset, model].map(cell).join(",")}\n`);
    writeFileSync(this.grid, `strategy,dataset,model\n${lines.join("")}`);
  }

  /** Puts each row into its state. */
  static async open(root: string, rows: readonly LabRow[]): Promise<Lab> {
    const lab = new Lab(root, rows);
    for (const row of rows) await lab.put(row);
    return lab;
  }

  folder({ strategy, dataset, model }: Pick<LabRow, "strategy" | "dataset" | "model">): string {
    return join(this.root, "WEIGHTS", strategy, `${dataset.toLowerCase()}_cd`, model);
  }

  #lock({ strategy, dataset, model }: Pick<LabRow, "strategy" | "dataset" | "model">): string {
    const name = `${strategy}_${dataset.toLowerCase().replaceAll("-", "_")}_${model}.lock`;
    return join(this.root, "training_locks", name);
  }

  async put(row: LabRow): Promise<void> {
    const { state, user = "alice", step = 0 } = row;
    const file = (name: string, content: string | Buffer) => {
      const path = join(this.folder(row), name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
      return path;
    };
    if (state === "done") file(`iter_${last}.pth`, Buffer.alloc(2048));
    if (state === "failed") {
      const flags = ["--strategy", row.strategy, "--dataset", row.dataset, "--model", row.model];
      await trainlock(["run", "--root", this.root, ...flags, "--quiet", "--", "sh", "-c", "exit 3"]);
    }
    if (state === "unknown") file(".training_lock", `job of ${user}\non node07, PID 4711\n`);
    if (state !== "running" && state !== "quiet" && state !== "stale") return;
    this.#jobs += 1;
    const agoMs = hourMs * (state === "running" ? 1 + (this.#jobs % 9) : 30) + 60_000 * ((this.#jobs * 7) % 60);
    const record = {
      strategy: row.strategy,
      dataset: row.dataset,
      model: row.model,
      ratio: null,
      aux_loss: null,
      job_id: String(123_400 + this.#jobs),
      hostname: hostname(),
      user,
      acquired_at: new Date(Date.now() - agoMs).toLocaleString("sv").replace(" ", "T"),
    };
    if (state === "stale") {
      // Its job is gone and has not signed off.
      writeFileSync(this.#lock(row), JSON.stringify({ ...record, pid: 99_999_999 }));
      file(`iter_${step}.pth`, Buffer.alloc(2048));
      return;
    }
    const log = file("20260101_000000/vis_data/scalars.json", `${JSON.stringify({ loss: 0.5, iter: step, step })}\n`);
    const silentS = state === "quiet" ? 3.1 * 3600 : 120 + 11 * this.#jobs;
    utimesSync(log, Date.now() / 1000 - silentS, Date.now() / 1000 - silentS);
    await this.#ask({ path: this.#lock(row), record });
  }

  /** A running row ends well, as a Python job does. */
  async finish(row: LabRow): Promise<void> {
    const path = join(this.folder(row), `iter_${last}.pth`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.alloc(2048));
    await this.#ask({ release: this.#lock(row) });
  }

  async #ask(asked: { readonly path: string; readonly record: object } | { readonly release: string }): Promise<void> {
    const before = this.#holders.stdout().split("\n").length;
    this.#holders.writeLine(JSON.stringify(asked));
    const answered = () => this.#holders.stdout().split("\n").length > before;
    await until("an answer of the holders", () => (answered() ? true : null));
  }
}

function cell(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}

/** The grid of the pictures: four datasets, mostly trained, a few things to look at. */
export function pictureRows(): LabRow[] {
  const strategies =
    "baseline std_cutmix std_mixup std_randaugment photometric_distort gen_cycleGAN gen_TSIT gen_IP2P gen_VisualCloze".split(
      " ",
    );
  const models = "pspnet_r50 deeplabv3plus_r50 segformer_mit-b3 segformer_mit-b5".split(" ");
  const users = ["alice", "bob", "chen", "dana"];
  const rows: LabRow[] = [];
  for (const dataset of ["BDD10k", "IDD-AW", "MapillaryVistas", "OUTSIDE15k"]) {
    for (const [line, strategy] of strategies.entries()) {
      for (const [column, model] of models.entries()) {
        const at = rows.length;
        const special: Record<number, LabState> = {
          41: "stale",
          74: "unknown",
          88: "stale",
          97: "quiet",
          103: "failed",
          121: "unknown",
        };
        const usual: LabState =
          at < 92 ? "done" : (line * 5 + column * 3 + dataset.length) % 4 === 0 ? "running" : "free";
        const state = special[at] ?? usual;
        rows.push({
          strategy,
          dataset,
          model,
          state,
          user: users[(line + column) % 4] ?? "",
          step: 1000 * ((at * 37) % 79),
        });
      }
    }
  }
  return rows;
}

/** A grid of so many rows: three of five trained, one of ten running, one of fifty in need of somebody. */
export function manyRows(count: number): LabRow[] {
  const states: readonly LabState[] = [
    "done",
    "done",
    "free",
    "done",
    "running",
    "done",
    "free",
    "done",
    "free",
    "done",
  ];
  const users = ["alice", "bob", "chen", "dana"];
  return Array.from({ length: count }, (_, at): LabRow => {
    const odd: LabState | undefined = at % 100 === 7 ? "stale" : at % 100 === 57 ? "unknown" : undefined;
    return {
      strategy: `strategy_${String(Math.floor(at / 40)).padStart(3, "0")}`,
      dataset: ["BDD10k", "IDD-AW", "MapillaryVistas", "OUTSIDE15k"][at % 4] ?? "",
      model: `segformer_mit-b${Math.floor(at / 4) % 10}`,
      state: odd ?? states[at % 10] ?? "free",
      user: users[at % 4] ?? "",
      step: (at * 997) % 80_000,
    };
  });
}
