import type { ChildProcess } from "node:child_process";
import { noteOwnChild } from "./own-children.ts";

/** Ways to call flock(1); the first dies with us, which needs setpriv(1) of util-linux 2.33. Our descriptor is its 3. */
const helpers: readonly (readonly [string, ...string[]])[] = [
  ["setpriv", "--pdeathsig", "KILL", "flock", "-x", "3"],
  ["flock", "-x", "3"],
];

/**
 * Sleeps in the kernel until the exclusive lock is on this descriptor. A small process does the sleeping: flock(2) belongs
 * to the open file, so what it gets is ours when it ends, and our own threads stay free for signals. `unsupported` where
 * there is no flock(1).
 */
export async function waitForFlock(fd: number, signal: AbortSignal): Promise<"locked" | "aborted" | "unsupported"> {
  for (const helper of helpers) {
    if (signal.aborted) return "aborted";
    const exitCode = await runHelper(helper, fd, signal);
    if (signal.aborted) return "aborted";
    if (exitCode === 0) return "locked";
  }
  return "unsupported";
}

/** Its exit code; null when it could not be started, or died of a signal. */
async function runHelper(
  helper: readonly [string, ...string[]],
  fd: number,
  signal: AbortSignal,
): Promise<number | null> {
  const { spawn } = await import("node:child_process");
  const [program, ...args] = helper;
  return new Promise((resolve) => {
    const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "ignore", "ignore", fd] });
    noteOwnChild(child.pid);
    const stop = () => {
      child.kill("SIGKILL");
    };
    const settle = (exitCode: number | null) => {
      signal.removeEventListener("abort", stop);
      resolve(exitCode);
    };
    signal.addEventListener("abort", stop, { once: true });
    child.on("error", () => settle(null));
    child.on("exit", settle);
  });
}
