import { constants } from "node:os";
import { readProcText } from "./proc-files.ts";

/**
 * What the wrapper passes on: every signal that can be caught, but those that tell about children (SIGCHLD), about our own
 * use of the terminal (SIGTTIN, SIGTTOU), about faults of our own, and SIGPWR, with which the runtime stops its threads.
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

/** Signals that this process was started with as ignored, as `nohup` does: they stay so, for the command as well. */
export function ignoredSignals(): ReadonlySet<number> {
  const mask = /^SigIgn:\s*([0-9a-f]+)/m.exec(readProcText("/proc/self/status") ?? "")?.[1] ?? "0";
  const bits = BigInt(`0x${mask}`);
  return new Set(Object.values(constants.signals).filter((signal) => (bits >> BigInt(signal - 1)) & 1n));
}

export function signalNumber(name: NodeJS.Signals): number {
  return constants.signals[name];
}

export function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}

/**
 * Ends this process and its whole group as Ctrl-C would have. A shell stops its script only when its child died of the
 * signal: an exit code of 130 tells it that the child has dealt with it.
 */
export function dieOfInterrupt(): void {
  process.removeAllListeners("SIGINT");
  process.kill(0, "SIGINT");
}
