import {
  type Ending,
  foregroundGroup,
  ignoreSignal,
  ownGroup,
  pollChild,
  type SpawnRequest,
  setForegroundGroup,
  spawnCommand,
} from "../system/command-process.ts";
import { forwardedSignals, ignoredSignals, signalNumber } from "../system/signals.ts";

export interface Command {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly keep: readonly number[];
}

export interface Supervisor {
  /** The first signal that came before there was a command to pass it on to. */
  readonly earlySignal: NodeJS.Signals | null;
  start(command: Command): Started;
  /** Gives signals and terminal back. */
  dispose(): void;
}

export type Started =
  | { readonly kind: "failed"; readonly errno: number }
  | {
      readonly kind: "started";
      readonly pid: number;
      readonly ended: Promise<Ending>;
      signalGroup(signal: NodeJS.Signals): void;
    };

const standardInput = 0;

/**
 * Stands between the world and one command: signals go to its process group, job control and the terminal work as without
 * us. Made before the lock is taken, so that no signal finds the lock held and nobody to give it back.
 */
export function makeSupervisor(): Supervisor {
  const ignored = ignoredSignals();
  let earlySignal: NodeJS.Signals | null = null;
  let group: number | null = null;
  const forward = (signal: NodeJS.Signals) => {
    if (group !== null) signalGroup(group, signal);
    else if (signal !== "SIGCONT" && signal !== "SIGWINCH" && signal !== "SIGURG") earlySignal ??= signal;
  };
  const handled = forwardedSignals.filter((signal) => !ignored.has(signalNumber(signal)));
  const install = () => {
    for (const signal of handled) process.on(signal, forward);
  };
  const dispose = () => {
    for (const signal of handled) process.off(signal, forward);
  };
  install();

  /** Stops ourselves as our command was stopped, so that the shell sees one stopped job. Returns when continued. */
  const stopWithCommand = (stoppedGroup: number) => {
    reclaimTerminal(stoppedGroup);
    process.off("SIGTSTP", forward);
    // To our whole group, as the terminal would: in an orphaned group the kernel drops it, and the command simply goes on.
    process.kill(0, "SIGTSTP");
    if (handled.includes("SIGTSTP")) process.on("SIGTSTP", forward);
    lendTerminal(stoppedGroup);
    signalGroup(stoppedGroup, "SIGCONT");
  };

  const start = (command: Command): Started => {
    const request: SpawnRequest = {
      ...command,
      defaultSignals: [signalNumber("SIGPIPE"), signalNumber("SIGXFSZ"), ...terminalDefaults(ignored)],
    };
    let finish: (ending: Ending) => void = () => undefined;
    const ended = new Promise<Ending>((resolve) => {
      finish = resolve;
    });
    let pid: number | null = null;
    const look = () => {
      if (pid === null) return;
      for (let change = pollChild(pid); change.kind !== "none"; change = pollChild(pid)) {
        if (change.kind === "stopped") stopWithCommand(pid);
        if (change.kind === "exited" || change.kind === "signalled") {
          process.off("SIGCHLD", look);
          reclaimTerminal(pid);
          clearInterval(alive);
          pid = null;
          return finish(change);
        }
      }
    };
    process.on("SIGCHLD", look);
    // A promise keeps no event loop alive, and a SIGCHLD that coincides with another may be merged with it.
    const alive = setInterval(look, 60_000);
    ignoreSignal(signalNumber("SIGTTOU"));
    const spawned = spawnCommand(request);
    if (spawned.kind === "failed") {
      process.off("SIGCHLD", look);
      clearInterval(alive);
      return spawned;
    }
    pid = spawned.pid;
    group = spawned.pid;
    lendTerminal(group);
    if (earlySignal !== null) signalGroup(group, earlySignal);
    look();
    const startedGroup = group;
    return { kind: "started", pid: startedGroup, ended, signalGroup: (signal) => signalGroup(startedGroup, signal) };
  };

  return {
    get earlySignal() {
      return earlySignal;
    },
    start,
    dispose,
  };
}

/** The runtime catches these or we ignore them; the command gets the default, unless it was started to ignore them. */
function terminalDefaults(ignored: ReadonlySet<number>): number[] {
  return [signalNumber("SIGTTOU")].filter((signal) => !ignored.has(signal));
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // The group is gone, and its end is on its way to us.
  }
}

/** Lends the terminal to the command, if it is ours to lend. A read before that had stopped the command: wake it. */
function lendTerminal(group: number): void {
  if (foregroundGroup(standardInput) !== ownGroup()) return;
  setForegroundGroup(standardInput, group);
  signalGroup(group, "SIGCONT");
}

function reclaimTerminal(group: number): void {
  if (foregroundGroup(standardInput) === group) setForegroundGroup(standardInput, ownGroup());
}
