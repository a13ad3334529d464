import { realpathSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Evidence } from "../model/evidence.ts";
import { asLiving } from "../system/processes/living-process.ts";
import { openFilesIn } from "../system/processes/open-files.ts";
import { readProcess } from "../system/processes/process-table.ts";

/** Markers, records and what we make beside them, which everybody opens who looks. */
export function isOurFile(path: string): boolean {
  return basename(path).startsWith(".training_lock");
}

/** The folder of a file as /proc shows it: without links on the way. */
export function realFolderOf(path: string): string {
  try {
    return realpathSync(dirname(path));
  } catch {
    return dirname(path);
  }
}

/**
 * A script may be gone while its training lives: a process of the marker's owner that writes into the weights dir is alive. Not
 * the call that asks, nor what belongs to its own job; no reader.
 */
export function openFilesEvidence(weightsDir: string, uid: number): Evidence[] {
  for (const { pid, path, writes, isOurs } of openFilesIn(weightsDir)) {
    if (!writes || isOurs || isOurFile(path)) continue;
    const found = readProcess(pid);
    if (found.kind !== "alive" || found.facts.uid !== uid) continue;
    const living = asLiving(pid);
    const detail = `process ${pid} has ${basename(path)} open for writing: ${living.command.join(" ")}`;
    return [{ source: "process", says: "alive", detail, living }];
  }
  return [];
}
