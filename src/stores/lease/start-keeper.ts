import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { noteOwnChild } from "../../system/processes/own-children.ts";
import { readLines } from "../../system/processes/read-lines.ts";
import { isExecutable } from "../../system/processes/this-program.ts";
import { lineOf, type Report, type Request } from "./keeper-messages.ts";

export interface KeeperProcess {
  tell(request: Request): void;
  /** Lets it end: it gives back whatever it still keeps. */
  close(): void;
  /** SIGKILL: it is replaced by another. */
  kill(): void;
}

/** How this very program starts a keeper. */
export function ownKeeperCommand(): readonly [string, ...string[]] {
  if (isExecutable) return [process.execPath, "__keeper"];
  return [process.execPath, fileURLToPath(new URL("./keeper-entry.js", import.meta.url))];
}

/**
 * Starts a keeper in a session of its own, so that what stops or ends our process group leaves it alone. It keeps nobody alive:
 * when this process ends, so does its input.
 */
export function startKeeper(
  [program, ...args]: readonly [string, ...string[]],
  onReport: (report: Report) => void,
  onEnd: () => void,
): KeeperProcess {
  const child = spawn(program, args, { detached: true, stdio: ["pipe", "pipe", "ignore"], env: {}, cwd: "/" });
  noteOwnChild(child.pid);
  // Once it is collected, not before: an orphan may stay in the list of processes for ever.
  child.on("exit", onEnd);
  child.on("error", onEnd);
  child.stdin.on("error", () => undefined);
  readLines(child.stdout, (line) => onReport(JSON.parse(line)));
  child.unref();
  for (const pipe of [child.stdin, child.stdout]) {
    if ("unref" in pipe && typeof pipe.unref === "function") pipe.unref();
  }
  return {
    tell: (request) => {
      child.stdin.write(lineOf(request));
    },
    close: () => {
      child.stdin.end();
    },
    kill: () => {
      child.kill("SIGKILL");
    },
  };
}
