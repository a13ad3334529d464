import { lstatSync, opendirSync } from "node:fs";
import { join } from "node:path";
import type { Evidence } from "../model/evidence.ts";

/** Folders with more files than this are not gone through: a sign of life is a hint, and hints are cheap. */
const mostFiles = 500;

/** The newest file of a weights dir, for a lock of which nothing else is known. Never a proof of anything. */
export function lastWriteEvidence(weightsDir: string | null): Evidence[] {
  const newest = weightsDir === null ? null : newestWrite(weightsDir);
  if (newest === null) return [];
  const detail = `last write ${ago(Date.now() - newest.modifiedMs)} ago: ${newest.name}`;
  return [{ source: "files", says: "unknown", because: "remote process", detail }];
}

/** The newest file of a folder; null where there is none, or none to be seen. */
export function newestWrite(
  folder: string,
  leaveOut: ReadonlySet<string> = new Set(),
): { name: string; modifiedMs: number } | null {
  let newest: { name: string; modifiedMs: number } | null = null;
  try {
    const entries = opendirSync(folder);
    try {
      for (let seen = 0; seen < mostFiles; seen += 1) {
        const entry = entries.readSync();
        if (entry === null) break;
        // A dot begins our own files, and what network file systems keep of removed ones.
        if (!entry.isFile() || entry.name.startsWith(".") || leaveOut.has(entry.name)) continue;
        const { mtimeMs } = lstatSync(join(folder, entry.name));
        if (newest === null || mtimeMs > newest.modifiedMs) newest = { name: entry.name, modifiedMs: mtimeMs };
      }
    } finally {
      entries.closeSync();
    }
  } catch {
    // A folder that cannot be read shows no sign of life.
  }
  return newest;
}

/** `42 s`, `3 min`, `5 h`, `12 d`. */
function ago(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}
