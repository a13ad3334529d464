import { closeSync, constants, fstatSync, mkdtempSync, openSync, readSync, rmdirSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EnvironmentError, messageOf } from "../model/errors.ts";
import type { RunStatus } from "../run/run-status.ts";
import { callerEnvironment } from "../system/processes/caller.ts";
import { type Ending, pollChild, spawnCommand } from "../system/processes/command-process.ts";
import { descendantsOf, readProcessTable } from "../system/processes/process-tree.ts";
import { signalProcesses } from "../system/processes/signal-processes.ts";
import { readEvents } from "./row-events.ts";

/** The name of the hidden command that trains one row. */
export const rowCommandName = "__row";
/** Where a wrapper has its worker's own output, for a command that inherits it: far above what a program opens. */
export const inheritedOutput = [250, 251] as const;

export interface RowCall {
  /** Options of the hidden command, then `--` and the row's command. */
  readonly args: readonly (string | Uint8Array)[];
  readonly variables: Readonly<Record<string, string>>;
  /** Whether the command's output is the worker's own. */
  readonly inheritsOutput: boolean;
  onHeld(generation: number, log: string | null): void;
}

/** How the wrapper of a row ended. */
export interface RowEnd {
  /** Null: it was killed before it could say. */
  readonly status: RunStatus | null;
  /** Passed on to the command by the wrapper, whoever sent it; null: none of those that stop trainings was. */
  readonly stopSignal: NodeJS.Signals | null;
  readonly ending: Ending;
  /** What it said on the way. */
  readonly messages: readonly string[];
}

const claimLookMs = 10;
const endLookMs = 1000;

/**
 * The wrapper of one row: this program again, in a process group of its own. So each command has its own process tree, and
 * the terminal's signals reach only the worker. It reports by a file without a name that both have open.
 */
export class RowProcess {
  readonly pid: number;
  readonly ended: Promise<RowEnd>;
  readonly #call: RowCall;
  readonly #file: number;
  #finish: (end: RowEnd) => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  #held = false;
  #over = false;

  constructor(call: RowCall) {
    this.#call = call;
    this.#file = openNameless();
    this.ended = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.pid = this.#spawn();
    process.on("SIGCHLD", this.#look);
    this.#look();
  }

  /** To the wrapper, which passes it on. */
  signal(signal: NodeJS.Signals): void {
    if (this.#over) return;
    try {
      process.kill(this.pid, signal);
    } catch {
      // It has ended, and is about to be noticed.
    }
  }

  /** SIGKILL for all that its command has started; the wrapper then releases the lock. */
  killTree(): void {
    signalProcesses(descendantsOf(this.pid, readProcessTable()), "SIGKILL");
  }

  #spawn(): number {
    const nothing = openSync("/dev/null", constants.O_RDONLY);
    const { args, variables, inheritsOutput } = this.#call;
    try {
      const spawned = spawnCommand({
        argv: [process.execPath, rowCommandName, ...args],
        environment: callerEnvironment(variables),
        keep: [],
        defaultSignals: [],
        descriptors: [
          ...(inheritsOutput
            ? ([
                [1, inheritedOutput[0]],
                [2, inheritedOutput[1]],
              ] as const)
            : []),
          [nothing, 0],
          [this.#file, 1],
          [this.#file, 2],
        ],
      });
      if (spawned.kind === "spawned") return spawned.pid;
      throw new EnvironmentError(`cannot start ${process.execPath}`, { code: "ERR_START", hint: "see `ulimit -u`" });
    } catch (error) {
      closeSync(this.#file);
      throw error;
    } finally {
      closeSync(nothing);
    }
  }

  readonly #look = (): void => {
    if (this.#over) return;
    clearTimeout(this.#timer);
    const change = pollChild(this.pid);
    if (change.kind === "exited" || change.kind === "signalled") {
      this.#end(change);
      return;
    }
    if (!this.#held) this.#readHeld();
    // A SIGCHLD that coincides with another may be merged with it.
    this.#timer = setTimeout(this.#look, this.#held ? endLookMs : claimLookMs);
  };

  #readHeld(): void {
    const { events } = readEvents(readWhole(this.#file));
    const held = events.find((event) => event.kind === "held");
    if (held?.kind !== "held") return;
    this.#held = true;
    this.#call.onHeld(held.generation, held.log);
  }

  #end(ending: Ending): void {
    this.#over = true;
    process.off("SIGCHLD", this.#look);
    if (!this.#held) this.#readHeld();
    const { events, messages } = readEvents(readWhole(this.#file));
    closeSync(this.#file);
    const over = events.find((event) => event.kind === "over");
    const said = over?.kind === "over" ? over : { status: null, stopSignal: null };
    this.#finish({ status: said.status, stopSignal: said.stopSignal, ending, messages });
  }
}

/** Nothing that others could open or plant, and gone when nobody has it open any more. */
function openNameless(): number {
  try {
    const folder = mkdtempSync(join(tmpdir(), "trainlock-"));
    const path = join(folder, "events");
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND;
    const fd = openSync(path, flags, 0o600);
    unlinkSync(path);
    rmdirSync(folder);
    return fd;
  } catch (error) {
    throw new EnvironmentError(`cannot write to ${tmpdir()}: ${messageOf(error)}`, {
      code: "ERR_TEMPORARY",
      hint: "set TMPDIR to a folder that can be written to",
    });
  }
}

const mostBytes = 1024 * 1024;

function readWhole(fd: number): string {
  const buffer = Buffer.alloc(Math.min(fstatSync(fd).size, mostBytes));
  return buffer.toString("utf8", 0, readSync(fd, buffer, 0, buffer.length, 0));
}
