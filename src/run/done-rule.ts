import { statSync } from "node:fs";
import { join, resolve } from "node:path";

/** Smaller files are what a crash left of a checkpoint. */
export const smallestCheckpointBytes = 1024;

/** What shows that there is nothing left to train. */
export interface DoneRule {
  /** Patterns relative to the weights dir; a match of any of them will do. */
  readonly patterns: readonly string[];
  readonly smallestBytes: number;
  /** A file in the weights dir that a finished run left; it counts whatever its size. */
  readonly file: string | null;
}

/** The file that shows a training to be done, relative to the weights dir. Null: none. */
export async function findDone(weightsDir: string, rule: DoneRule): Promise<string | null> {
  const { patterns, smallestBytes, file } = rule;
  if (file !== null && statSync(join(weightsDir, file), { throwIfNoEntry: false })?.isFile()) return file;
  return findCheckpoint(weightsDir, patterns, smallestBytes);
}

/**
 * The first file that shows a training to be done: patterns are relative to the weights dir, matches smaller than
 * `smallestBytes` do not count. Null: none.
 */
export async function findCheckpoint(
  weightsDir: string,
  patterns: readonly string[],
  smallestBytes: number = smallestCheckpointBytes,
): Promise<string | null> {
  for (const pattern of patterns) {
    for (const path of await matches(weightsDir, pattern)) {
      const found = resolve(weightsDir, path);
      const stats = statSync(found, { throwIfNoEntry: false });
      if (stats?.isFile() && stats.size >= smallestBytes) return found;
    }
  }
  return null;
}

async function matches(weightsDir: string, pattern: string): Promise<string[]> {
  // A plain name costs one look; the pattern library is loaded for patterns alone.
  if (!/[*?[\]{}()!]/.test(pattern)) return [pattern];
  const { glob } = await import("tinyglobby");
  return (await glob(pattern, { cwd: weightsDir, onlyFiles: true, followSymbolicLinks: false })).sort();
}
