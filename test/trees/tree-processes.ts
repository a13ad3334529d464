import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The program that is a training: it notes when it trains, and its arguments say whose it is. */
export const treeProgram = fileURLToPath(new URL("tree.pl", import.meta.url));

export interface LivingProcess {
  readonly pid: number;
  readonly parent: number;
}

/** The living processes of trees with these labels, by their arguments. */
export function livingOf(labels: readonly string[]): LivingProcess[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const args = readOrEmpty(`/proc/${name}/cmdline`).split("\0");
    if (args[1] !== treeProgram || !labels.includes(args[3] ?? "")) return [];
    const parent = /^PPid:\t(\d+)$/m.exec(readOrEmpty(`/proc/${name}/status`))?.[1];
    return [{ pid: Number(name), parent: Number(parent) }];
  });
}

/** Where a process would leave a trace of its claim. */
export interface TracePlaces {
  readonly lockFile: string;
  /** The processes that its wrapper had noted when it was killed. */
  readonly noted: readonly number[];
}

/** Whether anybody who asks can see that a process belongs to a claim: docs/guarantees.md says what a trace is. */
export function leavesTrace(pid: number, { lockFile, noted }: TracePlaces): boolean {
  return noted.includes(pid) || hasVariable(pid, "TRAINLOCK_TOKEN") || hasOpen(pid, lockFile);
}

function hasVariable(pid: number, name: string): boolean {
  return readOrEmpty(`/proc/${pid}/environ`)
    .split("\0")
    .some((pair) => pair.startsWith(`${name}=`));
}

function hasOpen(pid: number, path: string): boolean {
  try {
    const open = readdirSync(`/proc/${pid}/fd`);
    return open.some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(path));
  } catch {
    return false;
  }
}

export function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
