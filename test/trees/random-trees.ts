import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { configuration } from "../support/configuration.ts";
import { environment, executable } from "../support/trainlock.ts";

const tree = fileURLToPath(new URL("tree.pl", import.meta.url));
const steps = ["session", "group", "orphan", "daemon", "two", "close", "clear"] as const;
const victims = [
  "nobody",
  "a worker",
  "the middle",
  "the command",
  "all but the wrapper",
  "the wrapper",
  "the wrapper and the command",
] as const;
export type Victim = (typeof victims)[number];

/** Where locks are kept, and what a program is started by there. */
export interface Where {
  readonly name: string;
  readonly before: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly options: readonly string[];
  /** The trees alone, without `trainlock run`: what the checker must notice. */
  readonly unlocked?: true;
}

export interface Round {
  readonly where: string;
  readonly shape: readonly string[];
  readonly victim: Victim;
  /** Seconds for which the first and the last pair of trainings ran at once. */
  readonly overlaps: readonly number[];
  /** How many trainings wrote anything. */
  readonly trained: number;
  readonly exitCodes: readonly (number | null)[];
}

/** Numbers that come again with the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A few runs of one configuration at once, each a tree of a random shape. One process of the first that trains is killed at a
 * random moment. Whether two trained at once is read from what their workers wrote, and nothing else.
 */
export async function playRound(root: string, number: number, where: Where, random: () => number): Promise<Round> {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const of = configuration(root, `s${number}`);
  const journal = join(root, `journal.${number}`);
  writeFileSync(journal, "");
  const shape = Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick(steps));
  const victim = pick(victims);
  const deaf = random() < 0.3 ? ".deaf" : "";
  const labels = ["a", "b", "c"].map((name) => `${number}.${name}${deaf}`);
  const runs = labels.map((label) => {
    const seconds = (0.2 + random() * 0.6).toFixed(2);
    const command = ["perl", tree, journal, label, seconds, ...shape];
    const options = ["--wait=25s", "--kill-after", "300ms", ...where.options];
    const run = where.unlocked ? [] : [executable, "run", ...of.args, ...options, "--"];
    const call = [...where.before, ...run, ...command];
    return startQuietly(call, { ...where.env, TREE_ROUND: label });
  });
  const ended = Promise.all(runs.map(({ exitCode }) => exitCode));
  if (victim !== "nobody") await killOne(journal, victim, random, ended);
  const exitCodes = await ended;
  const stillThere = () => livingOf(labels).length > 0;
  for (let looks = 0; stillThere() && looks < 200; looks += 1) await sleep(50);
  return { where: where.name, shape, victim, ...judge(journal, labels), exitCodes };
}

function startQuietly(call: readonly string[], env: Readonly<Record<string, string>>) {
  const [file = "", ...args] = call;
  const child: ChildProcess = spawn(file, args, { env: environment(env), stdio: "ignore" });
  return { exitCode: new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code))) };
}

async function killOne(journal: string, victim: Victim, random: () => number, ended: Promise<unknown>): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  let label = "";
  while (label === "" && !over) {
    label = readFileSync(journal, "utf8").split(" ")[0] ?? "";
    await sleep(5);
  }
  await sleep(random() * 400);
  const own = livingOf([label]);
  const command = own.filter(({ parent }) => commandLine(parent).includes("trainlock"));
  const wrapper = command[0]?.parent;
  const workers = own.filter(({ pid }) => !own.some(({ parent }) => parent === pid));
  const middle = own.filter((each) => !workers.includes(each) && !command.includes(each));
  const any = (from: readonly { pid: number }[]) => from.slice(Math.floor(random() * from.length)).slice(0, 1);
  const chosen: Readonly<Record<Victim, readonly (number | undefined)[]>> = {
    nobody: [],
    "a worker": any(workers).map(({ pid }) => pid),
    "the middle": any(middle).map(({ pid }) => pid),
    "the command": command.map(({ pid }) => pid),
    "all but the wrapper": own.map(({ pid }) => pid),
    "the wrapper": [wrapper],
    "the wrapper and the command": [wrapper, command[0]?.pid],
  };
  for (const pid of chosen[victim]) if (pid !== undefined) killIfThere(pid);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** The processes of trees with these labels, by their arguments. */
function livingOf(labels: readonly string[]): { pid: number; parent: number }[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const args = commandLine(Number(name)).split("\0");
    if (args[1] !== tree || !labels.includes(args[3] ?? "")) return [];
    const parent = /^PPid:\t(\d+)$/m.exec(readOrEmpty(`/proc/${name}/status`))?.[1];
    return [{ pid: Number(name), parent: Number(parent) }];
  });
}

const commandLine = (pid: number) => readOrEmpty(`/proc/${pid}/cmdline`);

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function judge(journal: string, labels: readonly string[]): { overlaps: number[]; trained: number } {
  const times = new Map(labels.map((label) => [label, [] as number[]]));
  for (const line of existsSync(journal) ? readFileSync(journal, "utf8").split("\n") : []) {
    const [label = "", , at] = line.split(" ");
    times.get(label)?.push(Number(at));
  }
  const spans = [...times.values()]
    .filter((each) => each.length > 0)
    .map((each) => [Math.min(...each), Math.max(...each)] as const);
  const overlaps = spans.flatMap(([from, to], index) =>
    spans.slice(index + 1).flatMap(([otherFrom, otherTo]) => {
      const common = Math.min(to, otherTo) - Math.max(from, otherFrom);
      return common > 0 ? [common] : [];
    }),
  );
  return { overlaps, trained: spans.length };
}
