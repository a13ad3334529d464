import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("prober.mjs", import.meta.url));

/** Whoever asks the cluster from where a client is, all the time. */
export interface Prober {
  /** The longest time without an answer since then, milliseconds. At most some 300 ms more than it was. */
  longestOutageMs(since: bigint): number;
  stop(): Promise<void>;
}

export function startProber(inside: readonly string[], endpoints: readonly string[]): Prober {
  const [file = "", ...args] = [...inside, process.execPath, program, ...endpoints];
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const answers: bigint[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => answers.push(BigInt(line)));
  return {
    longestOutageMs: (since) => {
      const moments = [since, ...answers.filter((at) => at > since), process.hrtime.bigint()];
      const gaps = moments.slice(1).map((at, index) => Number(at - (moments[index] ?? at)));
      return Math.round(Math.max(...gaps) / 1e6);
    },
    stop: () => {
      child.stdin.end();
      return ended;
    },
  };
}
