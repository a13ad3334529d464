import { lstatSync, unlinkSync } from "node:fs";
import { messageOf } from "../model/errors.ts";
import { type EventFile, eventFiles } from "./read-events.ts";

export interface Pruned {
  readonly removed: readonly EventFile[];
  readonly failed: ReadonlyMap<string, string>;
}

/** Removes this user's own files of all months but the last ones, the present one among them. Others' stay. */
export function pruneHistory(lockDir: string, keepMonths: number, now: Date): Pruned {
  const failed = new Map<string, string>();
  const removed: EventFile[] = [];
  const first = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - keepMonths + 1, 1))
    .toISOString()
    .slice(0, 7);
  for (const file of eventFiles(lockDir, (path, why) => failed.set(path, why))) {
    if (file.month >= first) continue;
    try {
      if (lstatSync(file.path).uid !== process.geteuid?.()) continue;
      unlinkSync(file.path);
      removed.push(file);
    } catch (error) {
      failed.set(file.path, messageOf(error));
    }
  }
  return { removed, failed };
}
