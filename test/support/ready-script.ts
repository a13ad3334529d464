import { spawn } from "node:child_process";

export interface ReadyScript {
  /** Ends its input, and waits until it has ended and its pipes are closed. */
  stop(): Promise<void>;
}

/** Starts a bash script that serves several tests, and waits until it prints READY. It ends with its input. */
export async function startReadyScript(script: string, args: readonly string[]): Promise<ReadyScript> {
  const child = spawn("bash", [script, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  let output = "";
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (output.includes("READY\n")) resolve();
      });
    void ended.then(() => reject(new Error(`${script} is not ready: ${output}`)));
  });
  return {
    stop: () => {
      child.stdin.end();
      return ended;
    },
  };
}
