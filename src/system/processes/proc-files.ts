import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What a process's line in `/proc/PID/stat` says, proc_pid_stat(5). */
export interface StatLine {
  readonly state: string;
  /** A thread of the kernel itself, PF_KTHREAD of linux/sched.h: it runs no program and writes no file of a user's. */
  readonly kernelThread: boolean;
  readonly threadCount: number;
  /** Field 22: clock ticks from the host's boot to the start of the process. */
  readonly startTimeTicks: number;
}

/** USER_HZ, the unit of every tick in /proc: 100 on each architecture that Node or Bun runs on (time(7)). */
export const ticksPerSecond = 100;

/** The text of a file under /proc; null when it is not there, not ours to read, or its process ended meanwhile. */
export function readProcText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

let aheadSeconds: number | undefined;

/**
 * How many seconds the clock since boot is ahead of the host's here: a container may have a clock of its own, and /proc then
 * gives start times by that (time_namespaces(7)). Records hold them by the host's, so that each of its processes reads the same.
 */
export function bootClockAheadSeconds(): number {
  aheadSeconds ??= Number(/^boottime +(-?\d+)/m.exec(readProcText("/proc/self/timens_offsets") ?? "")?.[1] ?? 0);
  return aheadSeconds;
}

/** Field 22 of proc_pid_stat(5), by the host's clock. */
export function startTicksFrom(field: string | undefined): number {
  return Number(field) - bootClockAheadSeconds() * ticksPerSecond;
}

let sameNumbers: boolean | undefined;

/**
 * Whether the numbers in /proc are PIDs as we know them. `unshare --pid` without a mount of its own leaves the /proc of the
 * namespace outside, where our numbers name other processes: pid_namespaces(7).
 */
export function procHasOurPids(): boolean {
  if (sameNumbers === undefined) {
    try {
      sameNumbers = readlinkSync("/proc/self") === String(process.pid);
    } catch {
      sameNumbers = false;
    }
  }
  return sameNumbers;
}

/** The processes that /proc shows: thread group leaders only, proc(5). None when it is another namespace's /proc. */
export function listedPids(): number[] {
  if (!procHasOurPids()) return [];
  try {
    return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
  } catch {
    return [];
  }
}

/**
 * The number that the kernel has given last to a process or thread of this PID namespace: proc_loadavg(5). While it stays the same
 * nothing has been started. Null: it is not known.
 */
export function lastStartedPid(): string | null {
  return readProcText("/proc/loadavg")?.trim().split(" ").at(-1) ?? null;
}

/** A daemon forks twice. Of what forks for ever one or another is seen. */
const mostListings = 20;

/**
 * Every process, each once, for who reads something of it at once. /proc is listed again until nobody is new: one that forks and
 * ends between a listing and the reading is in neither, and neither is its child.
 */
export function* everyPid(): Generator<number> {
  const seen = new Set<number>();
  for (let listings = 0; listings < mostListings; listings += 1) {
    const fresh = listedPids().filter((pid) => !seen.has(pid));
    if (fresh.length === 0) return;
    for (const pid of fresh) {
      seen.add(pid);
      yield pid;
    }
  }
}

const kernelThreadFlag = 0x0020_0000;

/** Null when `/proc/PID/stat` cannot be read. The command name may hold spaces and parentheses, so its last one counts. */
export function readStatLine(pid: number | "self"): StatLine | null {
  const text = readProcText(`/proc/${pid}/stat`);
  if (text === null) return null;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, threadCount, startTimeTicks] = [fields[0], Number(fields[17]), startTicksFrom(fields[19])];
  if (state === undefined || !Number.isFinite(threadCount) || !Number.isFinite(startTimeTicks)) return null;
  const kernelThread = (Number(fields[6]) & kernelThreadFlag) !== 0;
  return { state, kernelThread, threadCount, startTimeTicks };
}
