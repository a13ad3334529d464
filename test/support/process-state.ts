import { readFileSync } from "node:fs";

/** Far above what any kernel hands out unasked, and still a possible PID: no process has it. */
export const deadPid = 4_194_303;

/** Whether a process runs. A zombie does not: it has closed its files, and only waits to be reaped. */
export function isRunning(pid: number): boolean {
  try {
    const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return state !== "Z" && state !== "X";
  } catch {
    return false;
  }
}
