import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { environment } from "../support/trainlock.ts";

export interface Attempt {
  /** Of the wrapper: `trainlock run`, or what it is compared with. */
  readonly pid: number;
  readonly stderr: string;
  /** What it ended with, or the name of a signal; null: it runs. */
  readonly ending: number | NodeJS.Signals | null;
}

/** Whoever wants a lock again and again. */
export interface Contender {
  /** All so far, and the one under way. */
  attempts(): Attempt[];
  /** No further attempt: one that holds nothing ends now, one that holds is let to its end. Resolves with the last end. */
  stop(holds: (pid: number) => boolean): Promise<void>;
}

/** From one attempt to the next, milliseconds: the others are to come first. */
const pauseMs = 400;

export function startContender(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Contender {
  const over: Attempt[] = [];
  let current: (() => Attempt) | null = null;
  let interrupt: (holds: (pid: number) => boolean) => void = () => undefined;
  const stopping = new AbortController();

  const attempt = () =>
    new Promise<void>((resolve, reject) => {
      const [file = "", ...args] = argv;
      const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"], env: environment(env) });
      const pid = child.pid ?? 0;
      let stderr = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        stderr += text;
      });
      current = () => ({ pid, stderr, ending: null });
      interrupt = (holds) => holds(pid) || child.kill("SIGTERM");
      child.once("error", reject);
      child.once("exit", (code, signal) => {
        // A command that outlives its wrapper has the other end of the pipe: its end is not waited for.
        setTimeout(() => {
          child.stderr.destroy();
          current = null;
          over.push({ pid, stderr, ending: code ?? signal });
          resolve();
        }, 50);
      });
    });
  const ended = (async () => {
    while (!stopping.signal.aborted) {
      await attempt();
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  ended.catch(() => undefined);
  return {
    attempts: () => [...over, ...(current === null ? [] : [current()])],
    stop: (holds) => {
      stopping.abort();
      if (current !== null) interrupt(holds);
      return ended;
    },
  };
}
