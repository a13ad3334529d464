import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { environment, executable } from "../support/trainlock.ts";
import { leavesTrace, livingOf, readOrEmpty, treeProgram } from "./tree-processes.ts";

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
  /** The training whose wrapper was killed; null: no wrapper was. */
  readonly killed: Killed | null;
  readonly overlaps: readonly Overlap[];
  /** How many trainings wrote anything. */
  readonly trained: number;
  readonly exitCodes: readonly (number | null)[];
}

/** Times are seconds by CLOCK_MONOTONIC, as the workers write them. */
export interface Killed {
  readonly label: string;
  /** How long it had trained by then. */
  readonly trainedSeconds: number;
  /** When a process of it was last seen that leaves a trace of its claim. */
  readonly tracedUntil: number;
}

/** Two trainings had a moment in common. */
export interface Overlap {
  readonly labels: readonly [string, string];
  /** When the later one had begun. */
  readonly from: number;
  readonly seconds: number;
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
  // Some train for so long that their wrapper has noted every process of them.
  const slower = random() < 0.1 ? 4 : 1;
  const runs = ["a", "b", "c"].map((name) => {
    const label = `${number}.${name}${deaf}`;
    const seconds = (slower * (0.2 + random() * 0.6)).toFixed(2);
    const command = ["perl", treeProgram, journal, label, seconds, ...shape];
    const options = ["--wait=40s", "--kill-after", "300ms", ...where.options];
    const run = where.unlocked ? [] : [executable, "run", ...of.args, ...options, "--"];
    return { label, ...startQuietly([...where.before, ...run, ...command], { ...where.env, TREE_ROUND: label }) };
  });
  const labels = runs.map(({ label }) => label);
  const ended = Promise.all(runs.map(({ exitCode }) => exitCode));
  let killed: Killed | null = null;
  if (victim !== "nobody") {
    const first = await firstToTrain(journal, ended);
    await sleep(slower * random() * 400);
    const wrapper = where.unlocked ? undefined : runs.find(({ label }) => label === first)?.pid;
    killed = await killOne(of, journal, { label: first, wrapper }, victim, random);
  }
  const exitCodes = await ended;
  const stillThere = () => livingOf(labels).length > 0;
  for (let looks = 0; stillThere() && looks < 200; looks += 1) await sleep(50);
  return { where: where.name, shape, victim, killed, ...judge(journal, labels), exitCodes };
}

function startQuietly(call: readonly string[], env: Readonly<Record<string, string>>) {
  const [file = "", ...args] = call;
  const child: ChildProcess = spawn(file, args, { env: environment(env), stdio: "ignore" });
  const exitCode = new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code)));
  return { pid: child.pid, exitCode };
}

/** The label of the training that began first; empty where all ended without one. */
async function firstToTrain(journal: string, ended: Promise<unknown>): Promise<string> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  for (;;) {
    const label = readFileSync(journal, "utf8").split(" ")[0] ?? "";
    if (label !== "" || over) return label;
    await sleep(5);
  }
}

interface Training {
  readonly label: string;
  readonly wrapper: number | undefined;
}

async function killOne(
  of: TestConfiguration,
  journal: string,
  { label, wrapper }: Training,
  victim: Victim,
  random: () => number,
): Promise<Killed | null> {
  const own = livingOf([label]);
  const command = own.filter(({ parent }) => parent === wrapper);
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
  if (wrapper === undefined || !chosen[victim].includes(wrapper)) return null;
  const killedAt = monotonicSeconds();
  const noted = notedBeside(of);
  const places = { lockFile: of.kernelLock, noted };
  let tracedUntil = 0;
  for (;;) {
    const lookedAt = monotonicSeconds();
    const living = livingOf([label]);
    if (living.length === 0) break;
    if (living.some(({ pid }) => leavesTrace(pid, places))) tracedUntil = lookedAt;
    await sleep(10);
  }
  const begun = linesOf(journal).find((line) => line.label === label)?.at ?? killedAt;
  return { label, trainedSeconds: killedAt - begun, tracedUntil };
}

const monotonicSeconds = () => Number(process.hrtime.bigint()) / 1e9;

/**
 * What the killed wrapper has noted: the command in its record, and the tree beside that. Read before the next one to train can
 * have noted its own. Orphans that the wrapper has not noted yet are children of it, too.
 */
function notedBeside({ weightsDir }: TestConfiguration): number[] {
  const read = (name: string) => JSON.parse(readOrEmpty(join(weightsDir, name)) || "{}");
  const tree: { pid: number }[] = read(".training_lock.tree").processes ?? [];
  return [read(".training_lock.json").trainlock?.child_pid ?? 0, ...tree.map(({ pid }) => pid)];
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

function linesOf(journal: string): { label: string; at: number }[] {
  const lines = existsSync(journal) ? readFileSync(journal, "utf8").split("\n").filter(Boolean) : [];
  return lines.map((line) => {
    const [label = "", , at] = line.split(" ");
    return { label, at: Number(at) };
  });
}

function judge(journal: string, labels: readonly string[]): { overlaps: Overlap[]; trained: number } {
  const lines = linesOf(journal);
  const spans = labels.flatMap((label) => {
    const times = lines.filter((line) => line.label === label).map(({ at }) => at);
    return times.length === 0 ? [] : [{ label, from: Math.min(...times), to: Math.max(...times) }];
  });
  const overlaps = spans.flatMap((one, index) =>
    spans.slice(index + 1).flatMap((other): Overlap[] => {
      const from = Math.max(one.from, other.from);
      const seconds = Math.min(one.to, other.to) - from;
      return seconds > 0 ? [{ labels: [one.label, other.label], from, seconds }] : [];
    }),
  );
  return { overlaps, trained: spans.length };
}
