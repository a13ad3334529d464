import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { isRunning } from "../support/process-state.ts";
import type { RunningProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { randomFrom } from "../trees/random-trees.ts";

const seed = Number(process.env.TRAINLOCK_GRID_SEED ?? 1);
const rounds = Number(process.env.TRAINLOCK_GRID_ROUNDS ?? 20);
const strategies = ["a", "b", "c", "d", "e", "f"];

/** A training: whatever of it trains, by PID. */
interface Training {
  readonly wrapper: RunningProcess;
  readonly pids: readonly number[];
}

/** One process, or one with a child in a session of its own; both end with the test's process. */
const ways = {
  "one process": `exec tail -f --pid=${process.pid} /dev/null`,
  "two sessions": `setsid tail -f --pid=${process.pid} /dev/null & echo $! >"$PIDS"; exec tail -f --pid=${process.pid} /dev/null`,
} as const;

/** A site whose rows are trained, killed and looked at; it knows which row lives. */
class Site {
  readonly root: string;
  readonly living = new Map<string, Training>();
  readonly #random: () => number;
  readonly #acting = new Set<string>();
  #nth = 0;

  constructor(root: string, random: () => number) {
    this.root = root;
    this.#random = random;
    onTestFinished(() => {
      for (const { pids } of this.living.values()) for (const pid of pids) kill(pid);
    });
  }

  pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)] as T;
  }

  flags(strategy: string) {
    return ["--root", this.root, "--strategy", strategy, "--dataset", "D", "--model", "m", "--scheduler", "none"];
  }

  /** Its checkpoint is there from the start: a row that lives must not be done for that. */
  async train(strategy: string): Promise<void> {
    if (this.living.has(strategy)) return;
    this.#nth += 1;
    const way = this.pick(Object.keys(ways) as (keyof typeof ways)[]);
    const pids = join(this.root, `pids-${this.#nth}`);
    writeFileSync(pids, "");
    const head = `rm -f "$TRAINLOCK_WEIGHTS_DIR"/x.pth; head -c 2k /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/x.pth"; echo "HELD $$"`;
    const wrapper = startTrainlock(
      [
        "run",
        ...this.flags(strategy),
        "--leftovers=kill",
        "--kill-after=0.2s",
        "--",
        "sh",
        "-c",
        `${head}; ${ways[way]}`,
      ],
      {
        env: { PIDS: pids },
      },
    );
    await wrapper.waitFor("\n");
    const [, command] = /^HELD (\d+)$/m.exec(wrapper.stdout()) ?? [];
    if (command === undefined) throw new Error(`no training, but ${wrapper.stdout()}`);
    const others =
      way === "one process" ? [] : [await until("its child", () => Number(readFileSync(pids, "utf8")) || null)];
    this.living.set(strategy, { wrapper, pids: [Number(command), ...others] });
  }

  /** Without its wrapper the training goes on. */
  async killWrapper(strategy: string): Promise<void> {
    const wrapper = this.living.get(strategy)?.wrapper;
    if (wrapper === undefined) return;
    wrapper.kill("SIGKILL");
    await until("the end of a wrapper", () => (isRunning(wrapper.pid) ? null : true));
  }

  /** The wrapper ends what the command leaves behind. */
  async killCommand(strategy: string): Promise<void> {
    const training = this.living.get(strategy);
    if (training === undefined) return;
    const [command] = training.pids;
    const goesOn = training.pids.length > 1 && !isRunning(training.wrapper.pid);
    if (!goesOn) this.living.delete(strategy);
    if (command !== undefined) kill(command);
    if (goesOn) this.living.set(strategy, { ...training, pids: training.pids.slice(1) });
    else await training.wrapper.finished;
  }

  async killAll(strategy: string): Promise<void> {
    const training = this.living.get(strategy);
    if (training === undefined) return;
    this.living.delete(strategy);
    training.wrapper.kill("SIGKILL");
    for (const pid of training.pids) kill(pid);
    await training.wrapper.finished;
    await until("the end of a training", () => (training.pids.some(isRunning) ? null : true));
  }

  async stop(strategy: string): Promise<void> {
    const training = this.living.get(strategy);
    if (training === undefined || !isRunning(training.wrapper.pid)) return;
    this.living.delete(strategy);
    training.wrapper.kill("SIGTERM");
    await training.wrapper.finished;
  }

  /** What others do meanwhile to rows that live or not. */
  async disturb(strategy: string): Promise<void> {
    const call = this.pick(["run", "check", "clear", "list"]);
    const arguments_: Record<string, string[]> = {
      run: [...this.flags(strategy), "--", "true"],
      check: this.flags(strategy),
      clear: ["--root", this.root, "--no-dry-run", "--scheduler", "none"],
      list: ["--root", this.root, "--scheduler", "none"],
    };
    await trainlock([call, ...(arguments_[call] ?? [])], { timeoutMs: 60_000 });
  }

  /** Does something to a row to which nothing else is done at this moment. */
  async act(): Promise<void> {
    const strategy = this.pick(strategies.filter((each) => !this.#acting.has(each)));
    this.#acting.add(strategy);
    const deeds = { train: this.train, wrapper: this.killWrapper, command: this.killCommand, all: this.killAll };
    const all = { ...deeds, stop: this.stop, disturb: this.disturb };
    const deed = this.pick(["train", "train", "train", "wrapper", "command", "all", "stop", "disturb"] as const);
    await all[deed].call(this, strategy);
    this.#acting.delete(strategy);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}

test(`at no moment is a row that lives anything but running, unknown or queued (TRAINLOCK_GRID_SEED=${seed})`, async () => {
  const root = await temporaryRoot();
  const grid = join(root, "grid.yaml");
  writeFileSync(grid, `- { strategy: [${strategies.join(", ")}], dataset: D, model: m }\n`);
  const site = new Site(root, randomFrom(seed));
  const seen = new Set<string>();
  for (let round = 0; round < rounds; round += 1) {
    const before = new Map(site.living);
    const look = trainlock(["plan", grid, "--root", root, "--done-when", "x.pth", "--scheduler", "none", "--json"], {
      timeoutMs: 60_000,
    });
    // While plan looks, the site goes on.
    await Promise.all([site.act(), site.act(), look]);
    const { rows } = JSON.parse((await look).stdout) as {
      rows: { configuration: { strategy: string }; state: string }[];
    };
    for (const { configuration, state } of rows) {
      const { strategy } = configuration;
      // One that lived all the time: `pids` of another training are others.
      const lived = before.get(strategy)?.wrapper;
      if (lived === undefined || site.living.get(strategy)?.wrapper !== lived) seen.add(state);
      else expect([round, strategy, state]).toEqual([round, strategy, expect.stringMatching(/^(?:running|unknown)$/)]);
    }
  }
  // Else nothing was tried.
  expect(seen.size).toBeGreaterThan(1);
});
