import { ignoredSignals, signalNumber } from "../system/processes/signals.ts";

/** `stop`: the first that ends a worker. `kill`: one more of those. `only pass`: its runs get it, and all goes on. */
export type SignalMeaning = "stop" | "kill" | "only pass";

export interface WorkSignals {
  pass(signal: NodeJS.Signals, how: SignalMeaning): void;
}

/** After one of these a second one kills. */
const ending = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU"] as const;
/** Schedulers warn with these before a time limit or a preemption: they stop a worker, and never kill. */
const warning = ["SIGUSR1", "SIGUSR2"] as const;

export function isWarning(signal: NodeJS.Signals): boolean {
  return (warning as readonly NodeJS.Signals[]).includes(signal);
}

/** Hands a worker's signals to `passer`; those that its caller ignores stay ignored. */
export function watchSignals(passer: WorkSignals): { dispose(): void } {
  const ignored = ignoredSignals();
  let isEnding = false;
  const handlers = new Map<NodeJS.Signals, () => void>();
  for (const signal of ending) {
    handlers.set(signal, () => {
      passer.pass(signal, isEnding ? "kill" : "stop");
      isEnding = true;
    });
  }
  for (const signal of warning) handlers.set(signal, () => passer.pass(signal, "stop"));
  // Ctrl-Z stops the runs, then the worker itself.
  const suspend = () => {
    passer.pass("SIGTSTP", "only pass");
    process.off("SIGTSTP", suspend);
    process.kill(process.pid, "SIGTSTP");
    process.on("SIGTSTP", suspend);
  };
  handlers.set("SIGTSTP", suspend);
  handlers.set("SIGCONT", () => passer.pass("SIGCONT", "only pass"));
  const watched = [...handlers].filter(([signal]) => !ignored.has(signalNumber(signal)));
  for (const [signal, handler] of watched) process.on(signal, handler);
  return {
    dispose: () => {
      for (const [signal, handler] of watched) process.off(signal, handler);
    },
  };
}
