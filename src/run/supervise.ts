import type { SpawnRequest } from "../system/processes/command-process.ts";
import { spawnCommand } from "../system/processes/command-process.ts";
import {
  callerSignalsToRestore,
  calmSignals,
  forwardedSignals,
  ignoredSignals,
  signalNumber,
} from "../system/processes/signals.ts";
import { reapOrphans } from "../system/processes/subreaper.ts";
import { controllingTerminal } from "../system/processes/terminal.ts";
import { CommandTree } from "./command-tree.ts";
import { type FollowedCommand, RunningCommand, type StopOurselves } from "./running-command.ts";

export type Command = Pick<SpawnRequest, "argv" | "environment" | "keep" | "openFilesLimit" | "descriptors">;

export type Started =
  | { readonly kind: "failed"; readonly errno: number }
  | { readonly kind: "started"; readonly command: FollowedCommand };

export interface Starter {
  start(command: Command): Started;
}

/** Signals that do not interrupt us while there is no command: like any process we stop, go on or ignore them. */
const notInterrupting: ReadonlySet<NodeJS.Signals> = new Set(["SIGTSTP", "SIGCONT", "SIGWINCH", "SIGURG"]);

/**
 * Starts the command and passes signals on to its process group. Job control and the terminal work as without us. It is made
 * before the lock is taken, so that at every signal there is a handler that releases the lock.
 */
export class Supervisor implements Starter {
  readonly #interrupted = new AbortController();
  readonly #handled: readonly NodeJS.Signals[];
  readonly #ignored = ignoredSignals();
  #command: RunningCommand | null = null;

  constructor() {
    calmSignals();
    this.#handled = forwardedSignals.filter((signal) => !this.#ignored.has(signalNumber(signal)));
    for (const signal of this.#handled) if (!notInterrupting.has(signal)) process.on(signal, this.#forward);
    // The first process of a container is everybody's last parent, from its start on.
    if (process.pid === 1) process.on("SIGCHLD", this.#reap);
  }

  /** Aborts at the first signal that comes before the command runs. Its reason is the signal's name. */
  get interrupted(): AbortSignal {
    return this.#interrupted.signal;
  }

  start(command: Command): Started {
    const tree = new CommandTree();
    const terminal = controllingTerminal();
    const restored = callerSignalsToRestore(this.#ignored);
    process.off("SIGCHLD", this.#reap);
    const running = new RunningCommand(tree, terminal, this.#stopOurselves);
    const spawned = spawnCommand({ ...command, defaultSignals: restored });
    if (spawned.kind === "failed") {
      running.dispose();
      return spawned;
    }
    this.#command = running;
    for (const signal of this.#handled) if (notInterrupting.has(signal)) process.on(signal, this.#forward);
    running.begin(spawned.pid);
    if (this.interrupted.aborted) running.pass(this.interrupted.reason);
    return { kind: "started", command: running };
  }

  /** Gives signals and terminal back. */
  dispose(): void {
    for (const signal of this.#handled) process.off(signal, this.#forward);
    process.off("SIGCHLD", this.#reap);
    this.#command?.dispose();
  }

  readonly #forward = (signal: NodeJS.Signals): void => {
    if (this.#command !== null) this.#command.pass(signal);
    else if (!notInterrupting.has(signal)) this.#interrupted.abort(signal);
  };

  readonly #reap = (): void => {
    reapOrphans(null);
  };

  /** The whole group, where the shell is to see one stopped job. */
  readonly #stopOurselves: StopOurselves = (signal, who) => {
    process.off(signal, this.#forward);
    process.kill(who === "group" ? 0 : process.pid, signal);
    if (this.#handled.some((name) => name === signal)) process.on(signal, this.#forward);
  };
}
