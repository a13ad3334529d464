import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Finished } from "./running-process.ts";
import { executable, run } from "./trainlock.ts";

/** One system call of a traced program, as strace saw it begin. */
export interface TracedCall {
  readonly thread: number;
  readonly name: string;
  /** The how manieth call of this name this thread made: what `when=` of strace counts. */
  readonly nth: number;
  readonly text: string;
}

export interface Traced extends Finished {
  readonly calls: readonly TracedCall[];
  readonly log: string;
}

export interface TraceOptions {
  /** What to do to which call, as strace's `inject=` takes it: `flock:error=ENOLCK:when=2`. */
  readonly inject?: string;
  /** Programs that strace itself is started by, such as `unshare --pid --fork`. */
  readonly before?: readonly string[];
  /** Programs that strace starts, and that become the executable. */
  readonly within?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Only calls on these very paths are watched, and interfered with. */
  readonly paths?: readonly string[];
}

/** Every call that names a path or a descriptor, and the end of the process. */
const watched = "%file,%desc,exit_group";

/** Runs the executable under strace, to its end or its death. */
export async function trace(args: readonly string[], options: TraceOptions = {}): Promise<Traced> {
  const folder = mkdtempSync(join(tmpdir(), "trainlock-strace-"));
  const log = join(folder, "log");
  try {
    const ended = await run(
      [
        ...(options.before ?? []),
        ...["strace", "-f", "-qq", "-y", "-s", "256", "-o", log, "-e", "signal=none"],
        ...["-e", `trace=${watched}`],
        ...(options.paths ?? []).flatMap((path) => ["-P", path]),
        ...(options.inject === undefined ? [] : ["-e", `inject=${options.inject}`]),
        ...(options.within ?? []),
        executable,
        ...args,
      ],
      options.env,
    );
    const text = readFileSync(log, "utf8");
    return { ...ended, log: text, calls: callsIn(text) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `resumed` lines end a call that an earlier line began, so they count for nothing. */
function callsIn(log: string): TracedCall[] {
  const counted = new Map<string, number>();
  const calls: TracedCall[] = [];
  for (const line of log.split("\n")) {
    const [, thread, name, rest] = /^(\d+) +(\w+)(\(.*)$/.exec(line) ?? [];
    if (thread === undefined || name === undefined || rest === undefined) continue;
    const key = `${thread} ${name}`;
    const nth = (counted.get(key) ?? 0) + 1;
    counted.set(key, nth);
    calls.push({ thread: Number(thread), name, nth, text: `${name}${rest}` });
  }
  return calls;
}

export type Phase = "before the command" | "while it starts or runs" | "after the command";

export interface Point extends TracedCall {
  readonly phase: Phase;
}

/**
 * The calls of the program's own main thread that touch a folder, and its exit: each is a point where it can be stopped,
 * with everything before done and nothing after. Those of its command are not among them.
 */
export function pointsIn(calls: readonly TracedCall[], folder: string): Point[] {
  const main = calls[0]?.thread;
  const commandBegins = calls.findIndex(({ name, thread }) => name === "execve" && thread !== main);
  const command = calls[commandBegins]?.thread;
  const commandEnds = calls.findLastIndex(({ thread }) => thread === command);
  const phaseAt = (index: number): Phase => {
    if (commandBegins === -1 || index < commandBegins) return "before the command";
    return index < commandEnds ? "while it starts or runs" : "after the command";
  };
  // Weights dirs are reached through their descriptors.
  const touches = ({ text }: TracedCall) =>
    text.includes(`"${folder}`) || text.includes(`<${folder}`) || /"\/proc\/self\/fd\/\d+\//.test(text);
  const first = calls.findIndex((call) => call.thread === main && touches(call) && call.name !== "execve");
  return calls.flatMap((call, index) => {
    if (call.thread !== main || index < first || call.name === "execve") return [];
    if (!touches(call) && call.name !== "exit_group") return [];
    return [{ ...call, phase: phaseAt(index) }];
  });
}

/**
 * The same point in another run of the program, whatever else that one looked at meanwhile (how many processes there are,
 * for one): the call of that name that is the how manieth of those that touch the folder.
 */
export function samePoint(point: Point, recorded: readonly Point[], others: readonly Point[]): Point | undefined {
  const ofThatName = (points: readonly Point[]) => points.filter(({ name }) => name === point.name);
  return ofThatName(others)[ofThatName(recorded).findIndex(({ nth }) => nth === point.nth)];
}

/** The same point in another run: names of temporary files, PIDs and inodes differ from run to run. */
export function describePoint({ name, nth, text, phase }: Point, folder: string): string {
  const plain = text
    .replaceAll(folder, "ROOT")
    .replace(/\.training_lock\.[0-9a-f]+\.tmp/g, ".training_lock.*.tmp")
    .replace(/ (=|<unfinished).*$/, "");
  return `${name} ${nth} (${phase}): ${plain.slice(0, 140)}`;
}

/** Runs `work` on every item, as many at a time as there are processors in a small machine. */
export async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item !== undefined) results[index] = await work(item);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  return results;
}
