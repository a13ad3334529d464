import { everyPid, procHasOurPids, readProcText, startTicksFrom } from "./proc-files.ts";

/** A process and no later one with its PID: proc_pid_stat(5), field 22. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to its start. */
  readonly startTimeTicks: number;
}

export interface TreeProcess extends ProcessIdentity {
  /** As `ps -o comm` shows it: at most 15 bytes, as found. */
  readonly name: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** False: it has ended, and its parent has not asked yet. */
  readonly runs: boolean;
}

/** Fields of proc_pid_stat(5) after the name, which may hold spaces and parentheses: the last parenthesis counts. */
export function readTreeProcess(pid: number): TreeProcess | null {
  const line = readProcText(`/proc/${pid}/stat`);
  if (line === null) return null;
  const [open, close] = [line.indexOf("("), line.lastIndexOf(")")];
  const fields = line.slice(close + 2).split(" ", 20);
  const [state = ""] = fields;
  const [threads, startTimeTicks] = [Number(fields[17]), startTicksFrom(fields[19])];
  // A leader whose main thread has ended shows as Z while its other threads go on.
  const runs = !/^[ZXx]$/.test(state) || threads > 1;
  return {
    pid,
    name: line.slice(open + 1, close),
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    startTimeTicks,
    runs,
  };
}

/** Every process that /proc shows, by PID. One reading of the whole, because few kernels list children. */
export function readProcessTable(): ReadonlyMap<number, TreeProcess> {
  const table = new Map<number, TreeProcess>();
  for (const pid of everyPid()) {
    const found = readTreeProcess(pid);
    if (found !== null) table.set(pid, found);
  }
  return table;
}

/**
 * What is below these processes, and is none of them, without those for which `leaveOut` holds and what is below them. A few small
 * files in place of all of /proc: what a thread other than the first has started is missing, and all where the kernel keeps no such
 * lists (proc_tid_children(5)).
 */
export function newBelow(known: readonly number[], leaveOut: (process: TreeProcess) => boolean): TreeProcess[] {
  const seen = new Set(known);
  const found: TreeProcess[] = [];
  const parents = procHasOurPids() ? [...known] : [];
  for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
    const listed = readProcText(`/proc/${parent}/task/${parent}/children`) ?? "";
    for (const pid of listed.split(" ").filter(Boolean).map(Number)) {
      const child = seen.has(pid) ? null : readTreeProcess(pid);
      if (child === null || !child.runs || leaveOut(child)) continue;
      seen.add(pid);
      found.push(child);
      parents.push(pid);
    }
  }
  return found;
}

/** What descends from a process, itself left out, and without those for which `leaveOut` holds and what descends from them. */
export function descendantsOf(
  ancestor: number,
  table: ReadonlyMap<number, TreeProcess>,
  leaveOut: (process: TreeProcess) => boolean = () => false,
): TreeProcess[] {
  const children = new Map<number, TreeProcess[]>();
  for (const process of table.values()) {
    const siblings = children.get(process.parent);
    if (siblings === undefined) children.set(process.parent, [process]);
    else siblings.push(process);
  }
  const found: TreeProcess[] = [];
  const seen = new Set([ancestor]);
  const queue = [ancestor];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const child of children.get(next) ?? []) {
      if (seen.has(child.pid) || leaveOut(child)) continue;
      seen.add(child.pid);
      found.push(child);
      queue.push(child.pid);
    }
  }
  return found;
}

export function sameProcess(a: ProcessIdentity, b: ProcessIdentity | undefined | null): boolean {
  return b != null && a.pid === b.pid && a.startTimeTicks === b.startTimeTicks;
}

/** The command line with blanks between its arguments, else its short name in brackets, as ps(1) shows them. */
export function commandLineOf(process: TreeProcess): string {
  return commandOf(process).join(" ").trim();
}

/** The same as single arguments. */
export function commandOf({ pid, name }: Pick<TreeProcess, "pid" | "name">): readonly string[] {
  const line = (readProcText(`/proc/${pid}/cmdline`) ?? "").replace(/\0+$/, "");
  return line.trim() === "" ? [`[${name}]`] : line.split("\0");
}

/** A process and those above it, by PID. */
export function ancestorsOf(pid: number): ReadonlySet<number> {
  const chain = new Set<number>();
  for (let at = pid; at > 0 && !chain.has(at); at = readTreeProcess(at)?.parent ?? 0) chain.add(at);
  return chain;
}
