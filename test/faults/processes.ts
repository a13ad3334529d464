import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface FoundProcess {
  readonly pid: number;
  readonly parent: number;
  /** As `ps -o comm` shows it. */
  readonly name: string;
}

/** Living processes whose program is in a folder, or whose command line names it. */
export function processesOf(folder: string): FoundProcess[] {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      const isOurs =
        readlinkSync(`/proc/${pid}/exe`).startsWith(`${folder}/`) ||
        readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${folder}/`);
      const status = isOurs ? readFileSync(`/proc/${pid}/status`, "utf8") : "";
      if (!isOurs || /^State:\s+[ZX]/m.test(status)) return [];
      const parent = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]);
      return [{ pid, parent, name: /^Name:\s+(.*)/m.exec(status)?.[1] ?? "" }];
    } catch {
      // Gone meanwhile, or a thread of the kernel.
      return [];
    }
  });
}

/** Ends what is left of a folder's processes, stopped ones too. */
export function killAllOf(folder: string): void {
  for (const { pid } of processesOf(folder)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Gone by itself.
    }
  }
}
