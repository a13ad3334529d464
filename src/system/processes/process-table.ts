import { readdirSync, readlinkSync } from "node:fs";
import { ticksSinceBoot } from "../clock/boot-clock.ts";
import { mountTable } from "../files/mount-table.ts";
import { everyPid, procHasOurPids, readProcText, readStatLine, ticksPerSecond } from "./proc-files.ts";

export interface ProcessFacts {
  readonly pid: number;
  /** Effective user id: the owner of the files it creates. */
  readonly uid: number;
  /** Clock ticks from boot to its start. */
  readonly startTimeTicks: number;
  /** One letter, proc_pid_stat(5). */
  readonly state: string;
  readonly kernelThread: boolean;
  /** Its age in seconds, counted from boot: independent of the wall clock. */
  readonly startedBeforeSeconds: number;
}

/**
 * `zombie`: ended, its parent has not asked yet. `hidden`: there is such a process, but nothing to be
 * learned about it, except whether it may be signalled: one's own always may, kill(2).
 */
export type ProcessReading =
  | { readonly kind: "alive"; readonly facts: ProcessFacts }
  | { readonly kind: "gone" }
  | { readonly kind: "zombie" }
  | { readonly kind: "hidden"; readonly takesSignals: boolean };

/** PIDs are C ints to kill(2); 0 and below address groups. */
const largestPidNumber = 0x7fff_ffff;

/** Field 22 of proc_pid_stat(5), of a process that may have ended and has not been waited for; null where it cannot be known. */
export function startTimeTicksOf(pid: number): number | null {
  return procHasOurPids() ? (readStatLine(pid)?.startTimeTicks ?? null) : null;
}

/**
 * What /proc shows of one process of this PID namespace: proc_pid_stat(5), proc_pid_status(5), kill(2). Never throws.
 */
export function readProcess(pid: number): ProcessReading {
  if (!Number.isInteger(pid) || pid < 1 || pid > largestPidNumber) return { kind: "gone" };
  const readable = procHasOurPids();
  const stat = readable ? readStatLine(pid) : null;
  const status = readable ? readProcText(`/proc/${pid}/status`) : null;
  if (stat === null || status === null) {
    const answer = signalled(pid);
    return answer === "gone" ? { kind: "gone" } : { kind: "hidden", takesSignals: answer === "taken" };
  }
  // /proc/TID exists for every thread, but markers and records name processes.
  if (numberAfter(status, "Tgid:") !== pid) return { kind: "gone" };
  // A leader whose main thread has ended shows as Z while its other threads go on.
  if (/^[ZXx]$/.test(stat.state) && stat.threadCount <= 1) return { kind: "zombie" };
  const now = ticksSinceBoot();
  const effectiveUid = Number(/^Uid:\t\d+\t(\d+)/m.exec(status)?.[1]);
  if (now === null || !Number.isFinite(effectiveUid)) return { kind: "hidden", takesSignals: true };
  const { state, kernelThread, startTimeTicks } = stat;
  const startedBeforeSeconds = Math.max(0, now - startTimeTicks) / ticksPerSecond;
  return {
    kind: "alive",
    facts: { pid, uid: effectiveUid, startTimeTicks, state, kernelThread, startedBeforeSeconds },
  };
}

/** EPERM is the answer of a living process of somebody else, kill(2); whatever is not a clear no counts as alive. */
function signalled(pid: number): "taken" | "refused" | "gone" {
  try {
    process.kill(pid, 0);
    return "taken";
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    return code === "ESRCH" ? "gone" : code === "EPERM" ? "refused" : "taken";
  }
}

function numberAfter(status: string, key: string): number | null {
  const found = new RegExp(`^${key}\\t(\\d+)`, "m").exec(status)?.[1];
  return found === undefined ? null : Number(found);
}

/**
 * The processes that were started with `TRAINLOCK_TOKEN=token` or `TRAINLOCK_HELD_token`, as far as their environment is ours to
 * read (proc_pid_environ(5)). Not being among them proves little: a program that sets its title writes over its environment.
 */
export function processesWithToken(token: string): number[] {
  const now = performance.now();
  if (tokens === undefined || now - tokens.readAtMs > tokensServeMs) tokens = { byToken: readTokens(), readAtMs: now };
  return tokens.byToken.get(token) ?? [];
}

/** What a process was started with; null: it is gone, or not ours to read. */
export function environmentOf(pid: number): Readonly<Record<string, string>> | null {
  const text = readProcText(`/proc/${pid}/environ`);
  if (text === null) return null;
  const pairs = text.split("\0").map((pair): [string, string] => {
    const at = pair.indexOf("=");
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
  return Object.fromEntries(pairs);
}

/** What processes have in a variable, as far as their environment is ours to read. */
export function valuesInEnvironments(variable: string): ReadonlySet<string> {
  const named = `${variable}=`;
  const values = new Set<string>();
  for (const pid of everyPid()) {
    const pairs = (readProcText(`/proc/${pid}/environ`) ?? "").split("\0");
    for (const pair of pairs) if (pair.startsWith(named)) values.add(pair.slice(named.length));
  }
  return values;
}

/** Of those the ones whose variables name this wrapper: all ranks of a launch have one token. */
export function startedBy(wrapper: number, token: string): number[] {
  const named = new RegExp(`(?:^|\\0)TRAINLOCK_PID=${wrapper}(?:\\0|$)`);
  return processesWithToken(token).filter((pid) => named.test(readProcText(`/proc/${pid}/environ`) ?? ""));
}

/** Reading every environment costs milliseconds; one reading serves all the locks of a list. */
const tokensServeMs = 100;
let tokens: { readonly byToken: ReadonlyMap<string, number[]>; readonly readAtMs: number } | undefined;

/** What `run` gives its command, and what a Python program that holds locks has for each of them. */
const tokenVariables = /(?<=^|\0)TRAINLOCK_(?:TOKEN=([0-9a-f]+)(?=\0|$)|HELD_([0-9a-f]{32})=)/g;

function readTokens(): Map<string, number[]> {
  const byToken = new Map<string, number[]>();
  for (const pid of everyPid()) {
    const variables = readProcText(`/proc/${pid}/environ`) ?? "";
    const carried = new Set<string>();
    for (const [, run, held] of variables.matchAll(tokenVariables)) carried.add(run ?? held ?? "");
    for (const token of carried) byToken.set(token, [...(byToken.get(token) ?? []), pid]);
  }
  return byToken;
}

/**
 * The PIDs that processes of nested PID namespaces have inside these, each with their PIDs here: `NSpid` of
 * proc_pid_status(5), pid_namespaces(7).
 */
export function pidsInsideContainers(): ReadonlyMap<number, readonly number[]> {
  const inner = new Map<number, number[]>();
  for (const pid of everyPid()) {
    const numbers = /^NSpid:\t(.*)$/m.exec(readProcText(`/proc/${pid}/status`) ?? "")?.[1]?.split("\t") ?? [];
    for (const number of numbers.slice(1)) inner.set(Number(number), [...(inner.get(Number(number)) ?? []), pid]);
  }
  return inner;
}

/**
 * The PID namespaces that processes are in, by inode: pid_namespaces(7). Null where one could not be asked that may matter:
 * with `oursOnly`, one of this user's; else any.
 */
export function pidNamespacesInUse(oursOnly: boolean): ReadonlySet<number> | null {
  const found = new Set<number>();
  const uid = process.geteuid?.();
  for (const pid of everyPid()) {
    // The first process is in the namespace of the asking process, and may be closed even to root.
    if (pid === 1) continue;
    try {
      found.add(Number(/^pid:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/ns/pid`))?.[1]));
    } catch {
      const there = readProcess(pid);
      const isGone = there.kind === "gone" || there.kind === "zombie";
      const isOthers = there.kind === "alive" && there.facts.uid !== uid;
      if (!isGone && !(oursOnly && isOthers)) return null;
    }
  }
  return found;
}

/**
 * Whether a user has a process on this host, by any of the four ids of its threads: real, effective, saved, of the file system
 * (credentials(7)). One of which nothing can be learned may be anybody's.
 */
export function mayHaveProcesses(uid: number): boolean {
  for (const pid of everyPid()) {
    const threads = threadsOf(pid);
    if (threads === null) {
      if (signalled(pid) !== "gone") return true;
      continue;
    }
    for (const tid of threads) {
      const status = readProcText(`/proc/${pid}/task/${tid}/status`);
      const ids = /^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$/m.exec(status ?? "");
      if (ids === null ? signalled(pid) !== "gone" : ids.slice(1).map(Number).includes(uid)) return true;
    }
  }
  return false;
}

function threadsOf(pid: number): readonly string[] | null {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return null;
  }
}

/** PROC_USER_INIT_INO of linux/proc_ns.h. */
const initialUserNamespace = "user:[4026531837]";
/** CAP_SYS_PTRACE of capabilities(7), which looks behind hidepid. */
const ptraceCapability = 1n << 19n;

/** False when /proc may keep other users' processes from us: `hidepid` and `gid` of proc(5). Unclear counts as false. */
export function seesAllProcesses(): boolean {
  if (!procHasOurPids()) return false;
  const proc = mountTable().findLast((entry) => entry.mountPoint === "/proc");
  if (proc === undefined || proc.fileSystem !== "proc") return false;
  const value = (name: string) => proc.options.find((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
  const hidden = value("hidepid") ?? "0";
  if (hidden === "0" || hidden === "off") return true;
  if (looksBehindHidepid()) return true;
  // `ptraceable` makes no exception for the group.
  if (hidden === "4" || hidden === "ptraceable") return false;
  const exempt = Number(value("gid") ?? "0");
  return process.getegid?.() === exempt || (process.getgroups?.().includes(exempt) ?? false);
}

/** Not by user id: containers and user namespaces have a root whose power ends at their border. */
function looksBehindHidepid(): boolean {
  const capabilities = /^CapEff:\t([0-9a-f]+)$/m.exec(readProcText("/proc/self/status") ?? "")?.[1] ?? "0";
  if ((BigInt(`0x${capabilities}`) & ptraceCapability) === 0n) return false;
  try {
    return readlinkSync("/proc/self/ns/user") === initialUserNamespace;
  } catch {
    return false;
  }
}
