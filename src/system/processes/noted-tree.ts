import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { writeByRename } from "../files/write-by-rename.ts";
import type { ProcessIdentity } from "./process-tree.ts";

/** What a wrapper noted of its command's process tree; docs/protocol.md, "The process tree". */
export interface NotedTree {
  readonly token: string;
  readonly bootId: string;
  readonly pidNamespace: number | null;
  readonly processes: readonly ProcessIdentity[];
}

/** More are not noted: a record is read by everybody. */
const mostNoted = 10_000;

/** Beside the owner record in the weights dir. */
export function notedTreePath(weightsDir: string): string {
  return join(weightsDir, ".training_lock.tree");
}

export function writeNotedTree(weightsDir: string, { token, bootId, pidNamespace, processes }: NotedTree): void {
  const json = {
    token,
    boot_id: bootId,
    pid_namespace: pidNamespace,
    processes: processes.slice(0, mostNoted).map(({ pid, startTimeTicks }) => ({
      pid,
      start_time_ticks: startTimeTicks,
    })),
  };
  writeByRename(notedTreePath(weightsDir), Buffer.from(`${JSON.stringify(json)}\n`));
}

export function removeNotedTree(weightsDir: string): void {
  try {
    unlinkSync(notedTreePath(weightsDir));
  } catch {
    // Its token tells every reader whose it was.
  }
}
