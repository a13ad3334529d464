import {
  type Ending,
  ownGroup,
  pollChild,
  type SpawnRequest,
  spawnCommand,
} from "../system/processes/command-process.ts";
import { isOrphanedGroup, signalGroup } from "../system/processes/process-group.ts";
import { forwardedSignals, ignoredSignals, signalName, signalNumber } from "../system/processes/signals.ts";
import { controllingTerminal } from "../system/processes/terminal.ts";

export interface Command {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly keep: readonly number[];
}

export interface Supervisor {
  /** Aborts with the first signal that came before there was a command to pass it on to; its reason is the name. */
  readonly interrupted: AbortSignal;
  start(command: Command): Started;
  /** Gives signals and terminal back. */
  dispose(): void;
}

export type Started =
  | { readonly kind: "failed"; readonly errno: number }
  | {
      readonly kind: "started";
      readonly pid: number;
      readonly ended: Promise<Ended>;
      signalGroup(signal: NodeJS.Signals): void;
    };

export interface Ended {
  readonly ending: Ending;
  /** Ctrl-C came to the command alone, since it had the terminal: our own group has not heard of it. */
  readonly ownGroupMissedInterrupt: boolean;
}

/** What a process without a command to pass them on to does as any other would: stop, go on, nothing. */
const notInterrupting: ReadonlySet<NodeJS.Signals> = new Set(["SIGTSTP", "SIGCONT", "SIGWINCH", "SIGURG"]);
/** Sent by the terminal to those who may not use it, or by its user. */
const terminalStops: ReadonlySet<number> = new Set((["SIGTSTP", "SIGTTIN", "SIGTTOU"] as const).map(signalNumber));

/**
 * Stands between the world and one command: signals go to its process group, job control and the terminal work as without
 * us. Made before the lock is taken, so that no signal finds the lock held and nobody to give it back.
 */
export function makeSupervisor(): Supervisor {
  const ignored = ignoredSignals();
  const interrupted = new AbortController();
  let group: number | null = null;
  const forward = (signal: NodeJS.Signals) => {
    if (group !== null) signalGroup(group, signal);
    else if (!notInterrupting.has(signal)) interrupted.abort(signal);
  };
  const handled = forwardedSignals.filter((signal) => !ignored.has(signalNumber(signal)));
  const early = handled.filter((signal) => !notInterrupting.has(signal));
  const late = handled.filter((signal) => notInterrupting.has(signal));
  for (const signal of early) process.on(signal, forward);

  /** Stops our own group as our command was stopped, so that the shell sees one stopped job. Returns when continued. */
  const stopOwnGroup = (signal: "SIGTSTP" | "SIGTTIN") => {
    process.off(signal, forward);
    process.kill(0, signal);
    if (handled.some((name) => name === signal)) process.on(signal, forward);
  };

  const start = (command: Command): Started => {
    const terminal = controllingTerminal();
    const onStopped = (stopped: number, signal: number) => {
      const isTerminalStop = terminalStops.has(signal);
      const wasLent = terminal?.isLentTo(stopped) === true;
      // A SIGSTOP that no shell waits for is between its sender and the command.
      if (!isTerminalStop && !wasLent) return;
      const asksForTerminal = isTerminalStop && signal !== signalNumber("SIGTSTP");
      if (asksForTerminal && !wasLent && terminal?.lend(stopped) === true) return signalGroup(stopped, "SIGCONT");
      if (isOrphanedGroup(ownGroup())) {
        // There the kernel drops a SIGTSTP. It would fail the read of who asks for the terminal, which we cannot.
        if (isTerminalStop && !asksForTerminal) signalGroup(stopped, "SIGCONT");
        return;
      }
      terminal?.reclaim(stopped);
      // Not SIGTTOU, which we ignore.
      stopOwnGroup(signal === signalNumber("SIGTTIN") ? "SIGTTIN" : "SIGTSTP");
      if (wasLent || asksForTerminal || terminal?.interactive === true) terminal?.lend(stopped);
      signalGroup(stopped, "SIGCONT");
    };
    const request: SpawnRequest = {
      ...command,
      defaultSignals: (["SIGPIPE", "SIGXFSZ", "SIGTTOU"] as const).map(signalNumber).filter((n) => !ignored.has(n)),
    };
    let finish: (ended: Ended) => void = () => undefined;
    const ended = new Promise<Ended>((resolve) => {
      finish = resolve;
    });
    let pid: number | null = null;
    const look = () => {
      if (pid === null) return;
      for (let change = pollChild(pid); change.kind !== "none"; change = pollChild(pid)) {
        if (change.kind === "stopped") onStopped(pid, change.signal);
        if (change.kind === "exited" || change.kind === "signalled") {
          process.off("SIGCHLD", look);
          clearInterval(alive);
          const byInterrupt = change.kind === "signalled" && signalName(change.signal) === "SIGINT";
          const ownGroupMissedInterrupt = byInterrupt && terminal?.isLentTo(pid) === true;
          terminal?.reclaim(pid);
          pid = null;
          return finish({ ending: change, ownGroupMissedInterrupt });
        }
      }
    };
    process.on("SIGCHLD", look);
    // A promise keeps no event loop alive, and a SIGCHLD that coincides with another may be merged with it.
    const alive = setInterval(look, 60_000);
    const spawned = spawnCommand(request);
    if (spawned.kind === "failed") {
      process.off("SIGCHLD", look);
      clearInterval(alive);
      return spawned;
    }
    const startedGroup = spawned.pid;
    pid = startedGroup;
    group = startedGroup;
    for (const signal of late) process.on(signal, forward);
    // It may have asked for the terminal before this, and been stopped.
    if (terminal?.interactive === true && terminal.lend(startedGroup)) signalGroup(startedGroup, "SIGCONT");
    if (interrupted.signal.aborted) signalGroup(startedGroup, interrupted.signal.reason);
    look();
    return { kind: "started", pid: startedGroup, ended, signalGroup: (signal) => signalGroup(startedGroup, signal) };
  };

  return {
    interrupted: interrupted.signal,
    start,
    dispose: () => {
      for (const signal of handled) process.off(signal, forward);
    },
  };
}
