import { realpathSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Evidence } from "../model/evidence.ts";
import { asLiving } from "../system/processes/living-process.ts";
import { filesOpenByUs, openFilesIn } from "../system/processes/open-files.ts";
import { readProcess } from "../system/processes/process-table.ts";
import { newestWrite } from "./last-write.ts";

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
export function openFilesEvidence(weightsDir: string, isOwner: (uid: number) => boolean): Evidence[] {
  for (const { pid, path, writes, isOurs } of openFilesIn(weightsDir)) {
    if (!writes || isOurs || isOurFile(path)) continue;
    const found = readProcess(pid);
    if (found.kind !== "alive" || !isOwner(found.facts.uid)) continue;
    const living = asLiving(pid);
    const detail = `process ${pid} has ${basename(path)} open for writing: ${living.command.join(" ")}`;
    return [{ source: "process", says: "alive", detail, living }];
  }
  return [];
}

/** Whether an argument of a command names one of the folders, or what is in it. */
export function namesFolder(command: readonly string[], folders: readonly string[]): boolean {
  return command.some((argument) => folders.some((folder) => `${argument}/`.includes(`${folder}/`)));
}

/** Whether a process has a file in a folder open, or was told of the folder. */
export function worksIn(folder: string, pid: number): boolean {
  if (namesFolder(asLiving(pid).command, [folder, realFolderOf(`${folder}/x`)])) return true;
  return openFilesIn(folder).some((file) => file.pid === pid && !isOurFile(file.path));
}

/** A training that has not written for so long is taken for what its locks say. */
const quietMs = 120_000;

/**
 * What goes on in a weights dir in spite of a holder's end, where nobody could look at the holder's host: who has a file in it
 * open, or that somebody has written there within the last two minutes. What the asking job has open itself does not count.
 */
export function goingOnEvidence(weightsDir: string): Evidence[] {
  const ours = new Set([...filesOpenByUs(weightsDir)].map((path) => basename(path)));
  const newest = newestWrite(weightsDir, ours);
  // Servers' clocks differ from ours: what is written in our future was written now.
  if (newest === null || Date.now() - newest.modifiedMs >= quietMs) return [];
  const opener = openFilesIn(weightsDir).find(({ path, isOurs }) => !isOurs && !isOurFile(path));
  const because = opener === undefined ? "still being written" : (`in use by PID ${opener.pid}` as const);
  const who = opener === undefined ? "" : `, and process ${opener.pid} has ${basename(opener.path)} open`;
  const detail = `${newest.name} was written within the last 2 min${who}`;
  return [{ source: "files", says: "unknown", because, detail }];
}
