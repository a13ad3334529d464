import { constants } from "node:os";
import { ignoredByCaller } from "./caller.ts";
import { ignoreSignal, resetSignal } from "./command-process.ts";
import { readProcText } from "./proc-files.ts";

/**
 * The signals that the wrapper passes on: every signal that can be caught, with these exceptions. SIGCHLD is about children.
 * SIGTTIN and SIGTTOU are about our own use of the terminal. Some signals report faults of this process itself. With SIGPWR
 * the runtime stops its threads.
 */
export const forwardedSignals = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGPROF",
  "SIGURG",
  "SIGIO",
  "SIGXCPU",
  "SIGWINCH",
  "SIGTSTP",
  "SIGCONT",
] as const satisfies readonly NodeJS.Signals[];

/** glibc keeps these for its threads, and posix_spawn(3) leaves them ignored by default. */
const internalSignals = [32, 33];
/** SIGRTMIN to SIGRTMAX of glibc. The runtime knows none of them, so none can be passed on. */
const realTimeSignals = Array.from({ length: 31 }, (_, index) => 34 + index);
/** At these the runtime prints a page about a crash of its own, also when somebody has sent them. */
const faultSignals = ["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP", "SIGABRT"] as const;

/** Signals that this process was started with as ignored, as `nohup` does: they stay so, for the command as well. */
export function ignoredSignals(): ReadonlySet<number> {
  const mask = /^SigIgn:\s*([0-9a-f]+)/m.exec(readProcText("/proc/self/status") ?? "")?.[1] ?? "0";
  const bits = BigInt(`0x${mask}`);
  const numbers = [...Object.values(constants.signals), ...internalSignals, ...realTimeSignals];
  return new Set(numbers.filter((signal) => (bits >> BigInt(signal - 1)) & 1n));
}

/**
 * From now on this process outlives real-time signals, and dies of a fault without a word. Its command keeps the lock then; a
 * page about a crash would be about none.
 */
export function calmSignals(): void {
  for (const signal of realTimeSignals) ignoreSignal(signal);
  for (const signal of faultSignals) resetSignal(signalNumber(signal));
}

/**
 * The signals to set back to their default in a command. The runtime ignores SIGPIPE and SIGXFSZ before any of our code runs.
 * So only what a caller like a shell ignores itself shows what it wished; without one, the default is taken. We ignore SIGTTOU
 * and real-time signals for ourselves.
 */
export function callerSignalsToRestore(ignoredAtStart: ReadonlySet<number>): readonly number[] {
  const byRuntime = (["SIGPIPE", "SIGXFSZ"] as const).map(signalNumber);
  const byCaller = ignoredByCaller(byRuntime);
  const ours = [signalNumber("SIGTTOU"), ...internalSignals, ...realTimeSignals];
  const byUs = ours.filter((signal) => !ignoredAtStart.has(signal));
  return [...byRuntime.filter((signal) => !byCaller.includes(signal)), ...byUs];
}

/** By these a user, a time limit or a scheduler stops a training: what it does after one is no end of its own. */
export const stopSignals: ReadonlySet<string> = new Set([
  "SIGINT",
  "SIGTERM",
  "SIGHUP",
  "SIGXCPU",
  "SIGUSR1",
  "SIGUSR2",
]);

/** By these a scheduler or a terminal ends a job. */
const jobSignals = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGPIPE"] as const;

/** For a process that watches over a claim or a tree: it must outlast its job. */
export function outliveJob(): void {
  for (const signal of jobSignals) process.on(signal, () => undefined);
}

export function signalNumber(name: NodeJS.Signals): number {
  return constants.signals[name];
}

export function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}

/**
 * Dies as Ctrl-C makes a program die: alone, or with the whole group where that has not seen it. A shell stops its script only
 * when its child died of the signal; an exit code of 130 says to it that the child has dealt with it.
 */
export function dieOfInterrupt(who: "group" | "self"): void {
  process.removeAllListeners("SIGINT");
  process.kill(who === "group" ? 0 : process.pid, "SIGINT");
}
