import {
  descendantsOf,
  type ProcessIdentity,
  readProcessTable,
  type TreeProcess,
} from "../system/processes/process-tree.ts";
import { readLines } from "../system/processes/read-lines.ts";
import { stillRunning } from "../system/processes/signal-processes.ts";
import { stopTree } from "./stop-tree.ts";

/**
 * What the guard process does: reads from its wrapper what the command's tree is, and ends that tree when the wrapper is gone
 * without a word.
 */
export function guardTree(killAfterMs: number): Promise<void> {
  let noted: readonly ProcessIdentity[] = [];
  let over = false;
  return new Promise((resolve) => {
    readLines(
      process.stdin,
      (line) => {
        if (line === "over") over = true;
        else noted = identitiesIn(line);
      },
      () => resolve(over ? undefined : stopNoted(noted, killAfterMs)),
    );
  });
}

/** Signals for the terminal's users, or for the job's, are not for the guard: it ends when its wrapper does. */
export const guardIgnores = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

function identitiesIn(line: string): ProcessIdentity[] {
  return (JSON.parse(line) as [number, number][]).map(([pid, startTimeTicks]) => ({ pid, startTimeTicks }));
}

async function stopNoted(noted: readonly ProcessIdentity[], killAfterMs: number): Promise<void> {
  const known = new Map<string, ProcessIdentity>();
  const learn = (processes: readonly ProcessIdentity[]) => {
    for (const each of processes) known.set(`${each.pid} ${each.startTimeTicks}`, each);
  };
  learn(noted);
  const living = (): TreeProcess[] => {
    const table = readProcessTable();
    for (const each of stillRunning([...known.values()])) learn(descendantsOf(each.pid, table));
    const pids = new Set(stillRunning([...known.values()]).map(({ pid }) => pid));
    return [...table.values()].filter(({ pid, runs }) => runs && pids.has(pid));
  };
  await stopTree(living, killAfterMs);
}
