import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";

/** One etcd, as a process. */
export interface Member {
  readonly pid: number;
  signal(signal: NodeJS.Signals): void;
  /** Kills it, and resolves when it is gone. */
  kill(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const shell of running) shell.kill("SIGKILL");
});

// The shell ends its etcd with its own input, so that nothing is left over even when the tests are killed.
const guard = '"$@" </dev/null >&2 & echo $!; cat >/dev/null; kill -KILL $!; wait';

/** Starts an etcd by its whole command line, its log in a file. It may yet fail to listen. */
export async function startMember(argv: readonly string[], log: string): Promise<Member> {
  const logFd = openSync(log, "a");
  // A group of its own: an interrupt from the terminal is for the tests, which then end it.
  const shell = spawn("sh", ["-c", guard, "sh", ...argv], { stdio: ["pipe", "pipe", logFd], detached: true });
  closeSync(logFd);
  const { stdin, stdout } = shell;
  if (stdin === null || stdout === null) throw new Error("no pipes");
  running.add(shell);
  const gone = new Promise<void>((resolve) => {
    shell.once("close", () => {
      running.delete(shell);
      resolve();
    });
  });
  const pid = await new Promise<number>((resolve, reject) => {
    createInterface({ input: stdout }).once("line", (line) => resolve(Number(line)));
    shell.once("error", reject);
  });
  return {
    pid,
    signal(signal) {
      // Its shell waits for it, so the PID is not given away to another process before.
      if (running.has(shell)) process.kill(pid, signal);
    },
    kill() {
      stdin.destroy();
      return gone;
    },
  };
}
