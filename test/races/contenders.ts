import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { environment } from "../support/trainlock.ts";

const library = fileURLToPath(new URL("../../dist/lib/index.js", import.meta.url));
const program = fileURLToPath(new URL("./contenders.mjs", import.meta.url));

/** Nanoseconds of CLOCK_MONOTONIC, the same clock in every process of this machine. */
export function monotonic(): bigint {
  return process.hrtime.bigint();
}

interface Message {
  readonly ready?: true;
  readonly outcomes?: readonly boolean[];
  readonly released?: true;
  readonly won?: number;
  readonly attempts?: number;
  readonly error?: string;
}

/** A process with eight contenders in it, which hold the library's locks. */
export class Contenders {
  readonly #child: ChildProcess;
  readonly #messages: Message[] = [];
  #listener: (() => void) | undefined;
  #over = false;

  constructor(root: string, journal: string, occupancyFolder: string) {
    if (!existsSync(library)) throw new Error(`${library} is not there: npm run build`);
    this.#child = fork(program, [library, root, journal, occupancyFolder], { env: environment(), execArgv: [] });
    this.#child.on("message", (message: Message) => {
      this.#messages.push(message);
      this.#listener?.();
    });
    this.#child.on("exit", () => {
      this.#over = true;
      this.#listener?.();
    });
    onTestFinished(() => this.kill("SIGKILL"));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isOver(): boolean {
    return this.#over;
  }

  tell(message: object): void {
    if (!this.#over && this.#child.connected) this.#child.send(message, () => {});
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The next thing it says; null when it has ended without a word. */
  async hear(): Promise<Message | null> {
    const giveUpAt = Date.now() + 60_000;
    for (;;) {
      const message = this.#messages.shift();
      if (message?.error) throw new Error(message.error);
      if (message) return message;
      if (this.#over) return null;
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`contenders ${this.pid} say nothing`)), giveUpAt - Date.now());
        this.#listener = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
