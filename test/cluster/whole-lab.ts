import { chmodSync, copyFileSync, mkdirSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { forward, openPage } from "../board/browser.ts";
import { until } from "../support/until.ts";
import { type Cluster, lab, type UserName, users } from "./cluster.ts";
import { tool } from "./jobs.ts";
import { type NotedRun, notedRuns, overlaps, trainedTwice } from "./lab-truth.ts";

export interface LabSize {
  readonly strategies: number;
  readonly datasets: number;
  /** Models that train for a moment; one more trains for 20 s. */
  readonly models: number;
  readonly maxRunning: number;
  readonly kills: number;
}

interface PlanDocument {
  readonly at: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly rows: readonly { readonly name: string; readonly state: string }[];
}

/** What was seen, for whoever looks at it. */
export interface LabReport {
  readonly rows: number;
  readonly seconds: number;
  readonly runs: number;
  readonly looksAtThePage: number;
  readonly livingRowsSeen: number;
  readonly duplicatesTurnedAway: number;
}

const slackMs = 6000;
const livingStates = ["running", "unknown", "queued"];

/**
 * A lab trains a whole grid on a shared folder of the cluster: two people submit it at the same moment, one cancels half, a third
 * starts local workers, old bash and Python jobs train some of it, a node is cut off, processes are killed, a row always fails,
 * a job is preempted twice, duplicates are turned away, and the board is open all the time. Judged by what the commands noted
 * themselves.
 */
export async function trainWholeLab(cluster: Cluster, name: string, size: LabSize): Promise<LabReport> {
  const lab = await new LabFolder(cluster, name, size).prepare();
  try {
    return await trainAll(lab);
  } catch (error) {
    if (error instanceof Error) error.message += `\n${await lab.describe()}`;
    throw error;
  }
}

async function trainAll(grid: LabFolder): Promise<LabReport> {
  const started = Date.now();
  const board = await grid.openBoard();
  const watching = board.watch();
  await until("the first look at the page", () => watching.looked(), 60_000);
  await grid.submitTwiceAtOnce();
  const others = [grid.startLocalWorkers(), grid.submitOldJobs()];
  // They are looked at below: what fails before that must not end the process.
  for (const each of others) each.catch(() => undefined);
  const cron = grid.submitAgainAndAgain();
  try {
    await grid.preemptTwice();
    await grid.cutNodeOff();
    await grid.killSome();
    const turnedAway = await grid.startDuplicates();
    // Between two scans of a busy file server are fifty times what the last one took.
    await until("a look at the page while a row lives", () => watching.sawLiving(), 900_000);
    await grid.letLongRowsEnd();
    await Promise.race([
      grid.untilTrained(),
      cron.ended,
      ...others.map((each) => each.then(() => new Promise(() => {}))),
    ]);
    cron.stop();
    await Promise.all([cron.ended, ...others]);
    const duplicatesTurnedAway = await grid.judgeTheEnd(turnedAway);
    const { looks, living } = await watching.stop();
    await board.showsTheEnd(duplicatesTurnedAway);
    const seconds = Math.round((Date.now() - started) / 1000);
    const runs = grid.runs().length;
    return {
      rows: grid.rows.length,
      seconds,
      runs,
      looksAtThePage: looks,
      livingRowsSeen: living,
      duplicatesTurnedAway,
    };
  } finally {
    cron.stop();
  }
}

class LabFolder {
  readonly rows: readonly string[];
  readonly #cluster: Cluster;
  readonly #root: string;
  readonly #size: LabSize;
  readonly #bin: string;
  readonly #ran: string;
  /** Host and PID of commands that were killed, or whose wrapper was. */
  readonly #killed = new Set<string>();

  constructor(cluster: Cluster, name: string, size: LabSize) {
    this.#cluster = cluster;
    this.#root = join(cluster.folder, "gluster", name);
    // As the file server has it: this process does not see the hosts' mounts.
    this.#ran = join(cluster.folder, "brick", name, "ran");
    this.#size = size;
    this.#bin = join(cluster.folder, "bin");
    const { strategies, datasets, models } = this.#names();
    const good = strategies.flatMap((s) => datasets.flatMap((d) => models.map((m) => `${s}/${d}/${m}`)));
    this.rows = [...good, "broken/d1/bad"];
  }

  runs(): NotedRun[] {
    return notedRuns(this.#ran);
  }

  /** Users cannot be expected to reach where the tests lie. */
  async prepare(): Promise<this> {
    mkdirSync(this.#bin, { recursive: true });
    const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
    const peers = ["noclobber-job.sh", "old_training_lock.py"].map((name) => here(`../support/peers/${name}`));
    for (const path of [tool, here("row.sh"), ...peers]) {
      const copy = join(this.#bin, basename(path));
      // Tried again: what was started before may still run.
      copyFileSync(path, `${copy}.new`);
      chmodSync(`${copy}.new`, 0o755);
      renameSync(`${copy}.new`, copy);
    }
    const { strategies, datasets, models } = this.#names();
    const text = [
      `- { strategy: [${strategies}], dataset: [${datasets}], model: [${models}] }`,
      "- { strategy: broken, dataset: d1, model: bad }",
    ].join("\n");
    const site = "done: { when: [final.pth] }\ncheckpoint: iter_*.pth\nmax_attempts: 3\n";
    const script = `umask 002; mkdir -p "$1/ran" && printf '%s\n' "$2" >"$1/grid.yaml" && printf '%s' "$3" >"$1/trainlock.yaml" &&
      chown -R ${users.ada}:${lab} "$1" && chmod 2775 "$1" "$1/ran"`;
    await this.#cluster.ask("login", ["sh", "-c", script, "sh", this.#root, text, site]);
    // Its proof of how far locks reach is kept with the folder.
    const doctor = this.#call("doctor", "--hosts", "node01,node02");
    expect(await this.#cluster.on("login", doctor, { user: "ada" })).toMatchObject({ exitCode: 0, stderr: "" });
    return this;
  }

  async openBoard(): Promise<Board> {
    const board = this.#cluster.start("login", this.#call("board", "grid.yaml"), { user: "ada", timeoutMs: 3_600_000 });
    await board.waitFor("Ctrl-C");
    const [, socket = ""] = /^Socket: (.*)$/m.exec(board.stdout()) ?? [];
    return new Board(`http://localhost:${await forward(socket)}/`, () => this.runs());
  }

  /** Each row is queued once; then half is cancelled by whose it is. */
  async submitTwiceAtOnce(): Promise<void> {
    const count = this.rows.length;
    const both = await Promise.all((["ada", "ben"] as const).map((user) => this.#submit(user, ["--with=--hold"])));
    const said = both.map(({ stdout }) => stdout);
    expect(said.sort()).toEqual([
      expect.stringMatching(new RegExp(`^nothing to submit: ${count} queued by (ada|ben) \\(job \\d+\\)\n$`)),
      expect.stringMatching(new RegExp(`^submitted ${count} rows as job \\d+ \\(--requeue --hold\\)\n$`)),
    ]);
    const [, owner, job = ""] = /by (ada|ben) \(job (\d+)\)/.exec(said[0] ?? "") ?? [];
    const half = Math.floor(count / 2);
    await this.#cluster.ask("login", ["scancel", `${job}_[${half + 1}-${count}]`], { user: owner as UserName });
    await until("half is queued", async () => ((await this.plan()).counts.queued === half ? true : null), 60_000);
    await this.#cluster.ask("login", ["scontrol", "release", job]);
  }

  async startLocalWorkers(): Promise<void> {
    const argv = this.#call(
      "work",
      "grid.yaml",
      "--jobs",
      "2",
      "--order",
      "random",
      "--wait",
      "--",
      ...this.#command(),
    );
    // 1: a row failed, by whomever.
    expect([0, 1]).toContain((await this.#cluster.on("login", argv, { user: "ben", timeoutMs: 3_600_000 })).exitCode);
  }

  /** Some rows of their own for each kind: they know nothing of each other. */
  async submitOldJobs(): Promise<void> {
    const { strategies, datasets } = this.#names();
    const mine = (dataset: string | undefined) => strategies.map((strategy) => [strategy, dataset, "m1"] as const);
    const weights = (row: readonly (string | undefined)[]) =>
      join(this.#root, "WEIGHTS", `${row[0]}/${row[1]}_cd/${row[2]}`);
    const command = (row: readonly (string | undefined)[]) =>
      `[ -e ${weights(row)}/final.pth ] || bash ${this.#bin}/row.sh ${this.#root} ${row.join("/")} ${weights(row)}`;
    const bash = mine(datasets[0]).map(
      (row) => `bash ${this.#bin}/noclobber-job.sh ${weights(row)}/.training_lock sh -c '${command(row)}'`,
    );
    const python = mine(datasets[1]).map(
      (row) => `
lock = TrainingLock("${row[0]}", "${row[1]}", "${row[2]}", lock_dir="${this.#root}/training_locks")
if lock.acquire():
    os.makedirs("${weights(row)}", exist_ok=True)
    subprocess.call(["sh", "-c", "${command(row)}"])
    lock.release()`,
    );
    const head = `import os, subprocess, sys\nsys.path.insert(0, "${this.#bin}")\nfrom old_training_lock import TrainingLock`;
    const scripts = [bash.join("\n"), `exec python3 - <<'END'\n${head}${python.join("")}\nEND`];
    const jobs = (["ben", "ada"] as const).map((user, index) =>
      this.#cluster.ask(
        "login",
        ["sbatch", "--wait", "--nodelist=node02", "--output=/dev/null", `--wrap=umask 002\n${scripts[index]}\ntrue`],
        { user, timeoutMs: 900_000 },
      ),
    );
    await Promise.all(jobs);
  }

  /** What a cron line of each of them does. */
  submitAgainAndAgain(): { stop(): void; ended: Promise<void> } {
    let over = false;
    const loop = async () => {
      while (!over) {
        await Promise.all((["ada", "ben"] as const).map((user) => this.#submit(user, ["--quiet"])));
        await sleep(3000);
      }
    };
    return { stop: () => (over = true), ended: loop() };
  }

  async preemptTwice(): Promise<void> {
    const long = await this.#living(
      "a long row of an array",
      ({ job, row }) => job.includes("_") && row.includes("/long"),
    );
    for (const time of [1, 2]) {
      const ranFrom = Math.max(
        ...this.runs()
          .filter(({ job }) => job === long.job)
          .map(({ fromMs }) => fromMs),
      );
      await this.#cluster.ask("login", ["scontrol", "requeue", long.job]);
      const again = (run: NotedRun) => run.job === long.job && run.fromMs > ranFrom;
      // It may find nothing that is left to train.
      const look = async () => (this.runs().some(again) || (await this.#isOver(long.job)) ? true : null);
      // Of an array with a limit, elements that have not run yet come first.
      await until(`job ${long.job} runs again, ${time}`, look, 900_000);
    }
  }

  async cutNodeOff(): Promise<void> {
    const node = "node01";
    await this.#living(`a row on ${node}`, ({ host }) => host === node, 20_000).catch(() => null);
    const nodeIs = async (states: RegExp) => {
      const state = await this.#cluster.ask("login", ["sinfo", "-h", "-n", node, "-o", "%T"]);
      return states.test(state) ? true : null;
    };
    this.#cluster.plug(node, "down");
    try {
      // A controller on a busy machine may need minutes to see it: then the node comes back unnoticed, which is as real.
      await until(`${node} is down`, () => nodeIs(/^down/), 60_000).catch(() => null);
    } finally {
      this.#cluster.plug(node, "up");
    }
    await until(`${node} is back`, () => nodeIs(/^(idle|mixed|allocated)/), 180_000);
  }

  /** Wrapper and command in turn, without a warning; each of another row, for none may fail so often that it counts as failed. */
  async killSome(): Promise<void> {
    const rows = new Set<string>();
    for (let kill = 0; kill < this.#size.kills; kill++) {
      const fits = ({ row }: NotedRun) => row.includes("/long") && !rows.has(row);
      const victim = await this.#living("a row of trainlock", fits, 10_000).catch(() => null);
      if (victim === null) return;
      rows.add(victim.row);
      this.#killed.add(`${victim.host} ${victim.pid}`);
      const pid = kill % 2 === 0 ? String(victim.pid) : `$(ps -o ppid= -p ${victim.pid})`;
      await this.#cluster.on(victim.host as "login", ["sh", "-c", `kill -9 ${pid}`]);
    }
  }

  /** Somebody starts what is being trained; how many of them were turned away. */
  async startDuplicates(): Promise<number> {
    let turnedAway = 0;
    for (let copy = 0; copy < 3; copy++) {
      const living = await this.#living("a long row", ({ row }) => row.includes("/long")).catch(() => null);
      if (living === null) break;
      const [strategy = "", dataset = "", model = ""] = living.row.split("/");
      const flags = ["--strategy", strategy, "--dataset", dataset, "--model", model];
      // Not found is no attempt of the row.
      const call = this.#call("run", ...flags, "--", "no-such-program");
      const { exitCode, stderr } = await this.#cluster.on("login", call, {
        user: "ben",
        env: { SLURM_JOB_ID: `9${copy}` },
      });
      // It may have been killed a moment before.
      expect([127, 75], stderr).toContain(exitCode);
      if (exitCode === 75) turnedAway += 1;
    }
    expect(turnedAway).toBeGreaterThan(0);
    return turnedAway;
  }

  async untilTrained(): Promise<void> {
    const look = async () => {
      const { done = 0, failed = 0 } = (await this.plan()).counts;
      return done + failed === this.rows.length ? true : null;
    };
    const slow = async () => {
      await sleep(1000);
      return look();
    };
    await until("all is trained", slow, 1_200_000);
  }

  /** The end is right by all there is to ask; resolves with the duplicates that history counts. */
  async judgeTheEnd(turnedAway: number): Promise<number> {
    const runs = this.runs();
    expect(overlaps(runs)).toEqual([]);
    expect(trainedTwice(runs)).toEqual([]);
    const good = this.rows.filter((row) => row !== "broken/d1/bad");
    expect(good.filter((row) => !runs.some((run) => run.row === row && run.okMs !== null))).toEqual([]);
    expect(runs.filter(({ row }) => row === "broken/d1/bad")).toHaveLength(3);
    const { counts } = await this.plan();
    expect(Object.entries(counts).filter(([, count]) => count > 0)).toEqual([
      ["done", good.length],
      ["failed", 1],
    ]);
    const require = (...select: string[]) =>
      this.#cluster.on("login", this.#call("plan", "grid.yaml", "--require", "done", ...select), { user: "ben" });
    expect((await require()).exitCode).toBe(1);
    expect((await require("--strategy", this.#names().strategies.join(","))).exitCode).toBe(0);
    const history = await this.#cluster.ask("login", this.#call("history"), { user: "ben" });
    const [, duplicates] = /(\d+) duplicates? turned away\n$/.exec(history) ?? [];
    expect(Number(duplicates)).toBeGreaterThanOrEqual(Math.min(1, turnedAway));
    return Number(duplicates);
  }

  /** For the message of a failure. */
  async describe(): Promise<string> {
    const show = async (script: string) => {
      // What cannot be shown must not hide what failed.
      const call = this.#cluster.on("login", ["sh", "-c", script, "sh", this.#root]);
      const { stdout, stderr } = await call.catch(({ message }: Error) => ({ stdout: "", stderr: message }));
      return `$ ${script}\n${stdout}${stderr}`.slice(0, 6000);
    };
    const runs = this.runs().map((run) => JSON.stringify(run));
    const plan = `${this.#bin}/trainlock plan "$1/grid.yaml" --root "$1" -v`;
    const history = `${this.#bin}/trainlock history --root "$1" -v`;
    const scripts = ["squeue -r", "sinfo -l", plan, history, 'tail -n 4 "$1"/training_locks/submit/*.out | tail -n 60'];
    return [...(await Promise.all(scripts.map(show))), ...runs.slice(-60)].join("\n");
  }

  async plan(): Promise<PlanDocument> {
    return JSON.parse(
      (await this.#cluster.on("login", this.#call("plan", "grid.yaml", "--json"), { user: "ada" })).stdout,
    );
  }

  #names() {
    const { strategies, datasets, models } = this.#size;
    const names = (letter: string, count: number) =>
      Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
    return {
      strategies: names("s", strategies),
      datasets: names("d", datasets),
      models: [...names("m", models), "long1"],
    };
  }

  #command(): string[] {
    return ["bash", join(this.#bin, "row.sh"), this.#root, "{name}", "{weights_dir}"];
  }

  /** As a member of the group calls it: from the folder, with a umask for a group. */
  #call(...args: readonly string[]): string[] {
    const [command = "", ...rest] = args;
    const run = [join(this.#bin, "trainlock"), command, "--root", this.#root, ...rest];
    return ["sh", "-c", `umask 002; cd ${this.#root} && exec "$@"`, "sh", ...run];
  }

  #submit(user: UserName, options: readonly string[]) {
    const limits = ["--max-running", String(this.#size.maxRunning), "--with=--requeue"];
    const call = this.#call("submit", "grid.yaml", ...limits, ...options, "--", ...this.#command());
    return this.#cluster.on("login", call, { user, timeoutMs: 600_000 });
  }

  async letLongRowsEnd(): Promise<void> {
    await this.#cluster.ask("login", ["touch", join(this.#root, "go")], { user: "ada" });
  }

  /** Waits for a run that lives, and has lived for a moment. */
  #living(what: string, fits: (run: NotedRun) => boolean, timeoutMs = 60_000): Promise<NotedRun> {
    const lives = ({ host, pid, fromMs, lastMs, okMs }: NotedRun) =>
      !this.#killed.has(`${host} ${pid}`) && okMs === null && Date.now() - lastMs < 3000 && Date.now() - fromMs > 1000;
    return until(what, () => this.runs().find((run) => lives(run) && fits(run)) ?? null, timeoutMs);
  }

  async #isOver(job: string): Promise<boolean> {
    return (await this.#cluster.on("login", ["squeue", "-h", "-j", job, "-o", "%T"])).stdout.trim() === "";
  }
}

class Board {
  readonly #url: string;
  readonly #runs: () => NotedRun[];
  #page: Awaited<ReturnType<typeof openPage>> | undefined;
  /** For the message of a failure. */
  lastLook = "";

  constructor(url: string, runs: () => NotedRun[]) {
    this.#url = url;
    this.#runs = runs;
  }

  /** Looks at the open page again and again: its numbers are those of its plan, and true by what the commands noted. */
  watch(): {
    looked(): Promise<true | null>;
    sawLiving(): Promise<true | null>;
    stop(): Promise<{ looks: number; living: number }>;
  } {
    let over = false;
    const seen = { looks: 0, living: 0 };
    const loop = async () => {
      while (!over) {
        const look = await this.#look();
        const seenMs = Date.now();
        await sleep(2000);
        if (look !== null) {
          seen.looks += 1;
          seen.living += this.#judge(look, seenMs);
        }
      }
    };
    const ended = loop();
    // It is looked at when stopped.
    ended.catch(() => undefined);
    // A look that failed ends what waits for one.
    const once = (isSo: () => boolean) => () =>
      Promise.race([ended.then(() => null), sleep(0).then(() => (isSo() ? true : null))]);
    return {
      looked: once(() => seen.looks > 0),
      sawLiving: once(() => seen.living > 0),
      stop: async () => {
        over = true;
        await ended;
        return seen;
      },
    };
  }

  async showsTheEnd(duplicates: number): Promise<void> {
    const look = async () => {
      const plan = await this.#look();
      const total = plan === null ? 0 : plan.rows.length;
      return plan !== null && (plan.counts.done ?? 0) + (plan.counts.failed ?? 0) === total ? plan : null;
    };
    await until("the page shows the end", look, 1_500_000).catch((error: Error) => {
      throw new Error(`${error.message}: ${this.lastLook}`);
    });
    const lately = `${duplicates} duplicate${duplicates === 1 ? "" : "s"} turned away`;
    // On a file server an event may be written after the look that found all trained.
    const told = async () => ((await this.#page?.locator("#lately").textContent())?.includes(lately) ? true : null);
    await until(`the page says ${lately}`, told, 120_000);
    expect(this.#page?.complaints).toEqual([]);
  }

  /** The page's numbers, if its plan is of the same look at the folders; null: a new one came in between. */
  async #look(): Promise<PlanDocument | null> {
    if (this.#page === undefined) {
      this.#page = await openPage();
      await this.#page.goto(this.#url);
    }
    const shown = (await this.#page.evaluate(`(async () => {
      const all = (query) => [...document.querySelectorAll(query)];
      const time = document.querySelector("#asof time").textContent;
      const counts = Object.fromEntries(all(".counts [data-state]").map((a) => [a.dataset.state, Number(a.querySelector("b").textContent)]));
      const [done, rows] = all(".big b").map((b) => Number(b.textContent));
      const running = all("#running tbody tr").length;
      const stuck = all("#stuck li[id]").length;
      const plan = await (await fetch("plan.json")).json();
      return { same: time === new Date(plan.at).toLocaleString("sv"), counts, done, rows, running, stuck, plan };
    })()`)) as Shown;
    const { plan } = shown;
    this.lastLook = `at ${new Date().toISOString()} the page of ${plan.at} ${shown.same ? "" : "(another) "}said ${JSON.stringify(shown.counts)}`;
    if (!shown.same) return null;
    const count = (state: string) => plan.rows.filter((row) => row.state === state).length;
    expect(shown.counts).toEqual(Object.fromEntries(Object.entries(plan.counts).filter(([, many]) => many > 0)));
    for (const [state, many] of Object.entries(plan.counts)) expect([state, many]).toEqual([state, count(state)]);
    expect(shown).toMatchObject({ done: count("done"), rows: plan.rows.length, running: count("running") });
    expect(shown.stuck).toBe(count("stale") + count("unknown") + count("failed"));
    return plan;
  }

  /** How many rows lived for certain from before the page's plan was begun until it was seen; each is called that. */
  #judge({ at, rows }: PlanDocument, seenMs: number): number {
    const atMs = Date.parse(at);
    const runs = this.#runs();
    const stateOf = new Map(rows.map(({ name, state }) => [name, state]));
    const living = runs.filter(({ fromMs, lastMs }) => fromMs < atMs - slackMs && lastMs > seenMs);
    const miscalled = living.filter(({ row }) => !livingStates.includes(stateOf.get(row) ?? ""));
    expect(miscalled.map((run) => ({ ...run, state: stateOf.get(run.row), at }))).toEqual([]);
    const okBy = (ms: number) => new Set(runs.filter(({ okMs }) => okMs !== null && okMs < ms).map(({ row }) => row));
    const early = rows.filter(({ name, state }) => state === "done" && !okBy(seenMs + slackMs).has(name));
    expect(early).toEqual([]);
    const trained = okBy(atMs - slackMs);
    const forgotten = rows.filter(
      ({ name, state }) => trained.has(name) && ["free", "queued", "blocked"].includes(state),
    );
    expect(forgotten.map((row) => ({ ...row, at }))).toEqual([]);
    return living.length;
  }
}

interface Shown {
  readonly same: boolean;
  readonly counts: Readonly<Record<string, number>>;
  readonly done: number;
  readonly rows: number;
  readonly running: number;
  readonly stuck: number;
  readonly plan: PlanDocument;
}
