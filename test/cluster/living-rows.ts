import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { until } from "../support/until.ts";
import { randomFrom } from "../trees/random-trees.ts";
import { type Cluster, nodes } from "./cluster.ts";
import { commandOf, hold, holders, type Job, killOn, tool } from "./jobs.ts";

const seed = Number(process.env.TRAINLOCK_GRID_SEED ?? 1);
const rounds = Number(process.env.TRAINLOCK_GRID_ROUNDS ?? 16);
const limits = ["--ssh-timeout", "1s", "--verify-timeout", "4s"];

/** A training that has lived on a node; by PID there, whatever of it may still train. */
interface Training {
  readonly job: Job;
  readonly pids: readonly number[];
}

/** Rows that are trained by jobs, killed, cut off and looked at. Each is trained once. */
class CutGrid {
  readonly #cluster: Cluster;
  readonly #random: () => number;
  readonly #rows: readonly TestConfiguration[];
  readonly trainings = new Map<string, Training>();
  cut: Job["node"] | null = null;
  #begun = 0;

  constructor(cluster: Cluster, rows: readonly TestConfiguration[], random: () => number) {
    this.#cluster = cluster;
    this.#rows = rows;
    this.#random = random;
  }

  pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T;
  }

  /** Rows of which something lives at this moment, as their node itself has it, with its PIDs. */
  async living(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (const node of nodes) {
      const own = [...this.trainings].filter(([, { job }]) => job.node === node);
      const pids = own.flatMap(([, training]) => training.pids);
      const script = `for pid in ${pids.join(" ")}; do [ -d /proc/$pid ] && echo $pid; done; true`;
      const alive = (await this.#cluster.ask(node, ["sh", "-c", script])).split("\n");
      for (const [strategy, training] of own) {
        const left = training.pids.filter((pid) => alive.includes(String(pid)));
        if (left.length > 0) found.set(strategy, left.join(" "));
      }
    }
    return found;
  }

  async #pickLiving(): Promise<Training | undefined> {
    const living = [...(await this.living()).keys()];
    return living.length === 0 ? undefined : this.trainings.get(this.pick(living));
  }

  /** Its checkpoint is there from the start: a row that lives must not be done for that. */
  async train(): Promise<void> {
    const of = this.#rows[this.#begun];
    if (of === undefined) return;
    this.#begun += 1;
    const node = this.pick(nodes.filter((each) => each !== this.cut));
    await this.#cluster.ask("login", [
      "sh",
      "-c",
      `mkdir -p ${of.weightsDir}; head -c 2k /dev/zero >${of.weightsDir}/x.pth`,
    ]);
    const kind = this.pick(Object.keys(holders) as (keyof typeof holders)[]);
    const job = await hold(this.#cluster, kind, of, node);
    const pids = kind === "trainlock" ? [job.pid, await commandOf(this.#cluster, of, node)] : [job.pid];
    this.trainings.set(of.strategy, { job, pids });
  }

  /** Without its wrapper a command goes on. */
  async killFirst(): Promise<void> {
    const training = await this.#pickLiving();
    if (training !== undefined) await killOn(this.#cluster, training.job.node, training.job.pid);
  }

  async killAll(): Promise<void> {
    const training = await this.#pickLiving();
    if (training !== undefined) await killOn(this.#cluster, training.job.node, ...training.pids);
  }

  /** Beyond a cut nobody is told. */
  async cancel(): Promise<void> {
    const training = await this.#pickLiving();
    if (training !== undefined) await this.#cluster.ask("login", ["scancel", training.job.id]);
  }

  /** The scheduler gives up all that runs there at once, or finds out by itself. */
  async cutOff(): Promise<void> {
    if (this.cut !== null) return;
    const ofLiving = await this.#pickLiving();
    this.cut = ofLiving?.job.node ?? this.pick(nodes);
    this.#cluster.plug(this.cut as (typeof nodes)[number], "down");
    if (this.#random() < 0.5)
      await this.#cluster.ask("login", ["scontrol", "update", `nodename=${this.cut}`, "state=down", "reason=cut"]);
  }

  async mend(): Promise<void> {
    const node = this.cut;
    if (node === null) return;
    this.#cluster.plug(node as (typeof nodes)[number], "up");
    const isBack = async () => {
      await this.#cluster.on("login", ["scontrol", "update", `nodename=${node}`, "state=resume"]);
      const state = await this.#cluster.ask("login", ["sinfo", "-h", "-n", node, "-o", "%T"]);
      return /^(idle|mixed|allocated)$/m.test(state) ? true : null;
    };
    await until(`${node} is back`, isBack, 120_000);
    this.cut = null;
  }

  /** What others do meanwhile to rows that live or not. */
  async disturb(): Promise<void> {
    const of = this.pick(this.#rows);
    const calls = [
      ["clear", "--root", of.root, "--no-dry-run"],
      ["check", ...of.args],
      ["list", "--root", of.root],
    ];
    await this.#cluster.on("login", [tool, ...this.pick(calls), ...limits]);
  }

  act(): Promise<void> {
    const { train, killFirst, killAll, cancel, cutOff, mend, disturb } = this;
    const deed = this.pick([train, train, train, killFirst, killAll, cancel, cutOff, cutOff, mend, disturb]);
    return deed.call(this);
  }

  async end(): Promise<void> {
    await this.mend();
    await this.#cluster.on("login", ["scancel", ...[...this.trainings.values()].map(({ job }) => job.id)]);
    for (const { job, pids } of this.trainings.values()) await killOn(this.#cluster, job.node, ...pids);
  }
}

export function livingRowsSuite(theCluster: () => Cluster): void {
  const title = `at no moment is a row that lives anything but running, unknown or queued (TRAINLOCK_GRID_SEED=${seed})`;
  describe("jobs, kills and nodes that are cut off", () => {
    test(title, async () => {
      const cluster = theCluster();
      const root = join(cluster.shared, "living");
      const strategies = Array.from({ length: rounds }, (_, nth) => `s${nth}`);
      const grid = join(root, "grid.yaml");
      const text = `- { strategy: [${strategies.join(", ")}], dataset: B, model: m }`;
      await cluster.ask("login", ["sh", "-c", `mkdir -p ${root}; echo '${text}' >${grid}`]);
      const of = strategies.map((strategy) => configuration(root, strategy, "B", "m"));
      const lab = new CutGrid(cluster, of, randomFrom(seed));
      const seen = new Set<string>();
      let beyondCut = 0;
      try {
        await Promise.all([lab.train(), lab.train()]);
        for (let round = 0; round < rounds; round += 1) {
          // One cut at least, whatever the dice say.
          if (round === Math.floor(rounds / 2) && beyondCut === 0) await lab.cutOff();
          const before = await lab.living();
          const from = lab.pick(["login", ...nodes] as const);
          const call = [tool, "plan", grid, "--root", root, "--done-when", "x.pth", "--json", ...limits];
          // While plan looks, the lab goes on.
          const [{ stdout }] = await Promise.all([cluster.on(from, call), lab.act()]);
          const after = await lab.living();
          const { rows } = JSON.parse(stdout) as { rows: { configuration: { strategy: string }; state: string }[] };
          for (const {
            configuration: { strategy },
            state,
          } of rows) {
            const lived = after.has(strategy) && before.get(strategy) !== undefined;
            if (!lived) seen.add(state);
            else expect([round, from, strategy, state]).toEqual([round, from, strategy, expect.stringMatching(living)]);
            if (lived && lab.trainings.get(strategy)?.job.node === lab.cut) beyondCut += 1;
          }
        }
        // Else nothing was tried.
        expect([...seen]).toContain("done");
        expect(beyondCut).toBeGreaterThan(0);
      } finally {
        await lab.end();
      }
    }, 600_000);
  });
}

const living = /^(?:running|unknown|queued)$/;
