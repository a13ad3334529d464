import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("relay.mjs", import.meta.url));

/** What a relay does with connections, see there. */
export type Treatment = "pass" | "hold" | "swallow" | "deaf" | "reset" | `delay-${number}`;

/** A second way to the members, that can be made a bad one. */
export interface Relays {
  readonly endpoints: readonly string[];
  treat(how: Treatment): void;
  stop(): Promise<void>;
}

export async function startRelays(endpoints: readonly string[]): Promise<Relays> {
  const child = spawn(process.execPath, [program, ...endpoints], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    void ended.then(() => reject(new Error("no relay")));
  });
  return {
    endpoints: line.split(" "),
    treat: (how) => {
      child.stdin.write(`${how}\n`);
    },
    stop: () => {
      child.stdin.end();
      return ended;
    },
  };
}
