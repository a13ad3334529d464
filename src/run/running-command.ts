import { type Ending, ownGroup, pollChild } from "../system/processes/command-process.ts";
import { isOrphanedGroup, signalGroup } from "../system/processes/process-group.ts";
import { signalProcesses } from "../system/processes/signal-processes.ts";
import { signalName, signalNumber, stopSignals } from "../system/processes/signals.ts";
import { reapOrphans } from "../system/processes/subreaper.ts";
import type { Terminal } from "../system/processes/terminal.ts";
import type { ProcessTree } from "./command-tree.ts";

export interface Ended {
  readonly ending: Ending;
  /** Ctrl-C ended the command. `group`: it had the terminal, our own group has not seen it; `self`: the group has, and we. */
  readonly interrupted: "group" | "self" | null;
  /** The command had the terminal: keys send their signals past us. */
  readonly hadTerminal: boolean;
}

/** A command that was started, for who follows it to its end. */
export interface FollowedCommand {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  readonly tree: ProcessTree;
  /** The first of the signals by which a command is stopped from outside that was passed on to it; null: none was. */
  readonly stopSignal: NodeJS.Signals | null;
  /** All that were passed on to it. */
  readonly passedOn: ReadonlySet<NodeJS.Signals>;
  /** Aborts when a signal that ends programs has come after the command's end: what it left is to end, too. */
  readonly hurried: AbortSignal;
}

/** Stops this process as its command was stopped, alone or with its process group. Returns when continued. */
export type StopOurselves = (signal: "SIGTSTP" | "SIGTTIN", who: "group" | "self") => void;

/** Sent by the terminal to those who may not use it, or by its user. */
const terminalStops: ReadonlySet<number> = new Set((["SIGTSTP", "SIGTTIN", "SIGTTOU"] as const).map(signalNumber));
/** After one of these, what is left of a tree is ended. */
const endingSignals: ReadonlySet<NodeJS.Signals> = new Set(["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"]);
/** A SIGCHLD that coincides with another may be merged with it. */
const lookEveryMs = 60_000;
/** Until the runtime has collected a helper of ours that has ended. */
const reapAgainMs = 50;

/** A command that was started: its changes, its end, its terminal, and the orphans of its tree. */
export class RunningCommand implements FollowedCommand {
  readonly tree: ProcessTree;
  readonly ended: Promise<Ended>;
  readonly #terminal: Terminal | null;
  readonly #stopOurselves: StopOurselves;
  readonly #hurried = new AbortController();
  /** A promise keeps no event loop alive. */
  readonly #alive: NodeJS.Timeout;
  #finish: (ended: Ended) => void = () => undefined;
  #pid = 0;
  #runs = false;
  #sawInterrupt = false;
  readonly passedOn = new Set<NodeJS.Signals>();

  constructor(tree: ProcessTree, terminal: Terminal | null, stopOurselves: StopOurselves) {
    this.tree = tree;
    this.#terminal = terminal;
    this.#stopOurselves = stopOurselves;
    this.ended = new Promise((resolve) => {
      this.#finish = resolve;
    });
    process.on("SIGCHLD", this.#look);
    this.#alive = setInterval(this.#look, lookEveryMs);
  }

  get pid(): number {
    return this.#pid;
  }

  get stopSignal(): NodeJS.Signals | null {
    return [...this.passedOn].find((signal) => stopSignals.has(signal)) ?? null;
  }

  get hurried(): AbortSignal {
    return this.#hurried.signal;
  }

  begin(pid: number): void {
    this.#pid = pid;
    this.#runs = true;
    const terminal = this.#terminal;
    // Others of our group see Ctrl-C only while the terminal is the group's: among them the command gets it when it asks.
    if (terminal?.interactive === true && terminal.isOursAlone() && terminal.lend(pid)) {
      // It may have asked for the terminal before this, and been stopped.
      signalGroup(pid, "SIGCONT");
    }
    this.#look();
  }

  /** Passes a signal on to the command's process group, or to all that it left. */
  pass(signal: NodeJS.Signals): void {
    if (signal === "SIGINT") this.#sawInterrupt ||= this.#terminal?.isLentTo(ownGroup()) === true;
    this.passedOn.add(signal);
    if (this.#runs) {
      signalGroup(this.#pid, signal);
      return;
    }
    signalProcesses(this.tree.living(), signal);
    if (endingSignals.has(signal)) this.#hurried.abort();
  }

  dispose(): void {
    process.off("SIGCHLD", this.#look);
    clearInterval(this.#alive);
  }

  readonly #look = (): void => {
    while (this.#runs) {
      const change = pollChild(this.#pid);
      if (change.kind === "none") break;
      if (change.kind === "stopped") this.#onStopped(change.signal);
      if (change.kind === "exited" || change.kind === "signalled") this.#onEnded(change);
    }
    if (!reapOrphans(this.#runs ? this.#pid : null)) setTimeout(this.#look, reapAgainMs).unref();
  };

  #onEnded(ending: Ending): void {
    this.#runs = false;
    const byInterrupt = ending.kind === "signalled" && signalName(ending.signal) === "SIGINT";
    const hadTerminal = this.#terminal?.isLentTo(this.#pid) === true;
    this.#terminal?.reclaim(this.#pid);
    const interrupted = hadTerminal ? "group" : this.#sawInterrupt ? "self" : null;
    this.#finish({ ending, interrupted: byInterrupt ? interrupted : null, hadTerminal });
  }

  #onStopped(signal: number): void {
    const terminal = this.#terminal;
    const stopped = this.#pid;
    const isTerminalStop = terminalStops.has(signal);
    const wasLent = terminal?.isLentTo(stopped) === true;
    // A SIGSTOP that no shell waits for is between its sender and the command.
    if (!isTerminalStop && !wasLent) return;
    const asksForTerminal = isTerminalStop && signal !== signalNumber("SIGTSTP");
    if (asksForTerminal && !wasLent && terminal?.lend(stopped) === true) {
      signalGroup(stopped, "SIGCONT");
      return;
    }
    if (isOrphanedGroup(ownGroup())) {
      // There the kernel drops a SIGTSTP. It would fail the read of who asks for the terminal, which we cannot.
      if (isTerminalStop && !asksForTerminal) signalGroup(stopped, "SIGCONT");
      return;
    }
    terminal?.reclaim(stopped);
    // A key that did not go to the command alone has stopped the others of our group, and `kill` is not about them.
    const who = wasLent || asksForTerminal ? "group" : "self";
    // Not SIGTTOU, which we ignore.
    this.#stopOurselves(signal === signalNumber("SIGTTIN") ? "SIGTTIN" : "SIGTSTP", who);
    const atOnce = terminal?.interactive === true && terminal.isOursAlone();
    if (wasLent || asksForTerminal || atOnce) terminal?.lend(stopped);
    signalGroup(stopped, "SIGCONT");
  }
}
