import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Layout, WeightsTree } from "../model/layout.ts";
import { errnoOf, isErrno } from "../system/errno.ts";

/** Told about folders that could not be looked into; the rest is listed all the same. */
export type OnUnreadable = (path: string, errno: string) => void;

/**
 * The folders that configurations train in, by the layout's own depth: never into checkpoint folders, never through
 * symbolic links below the root, and indifferent to folders that vanish meanwhile.
 */
export function* weightsFolders(layout: Layout, onUnreadable: OnUnreadable): Generator<string> {
  const seen = layout.weightsTrees.length > 1 ? new Set<string>() : null;
  for (const { top, levels } of layout.weightsTrees) {
    for (const folder of foldersBelow(top, levels, onUnreadable)) {
      // Templates of one tree, told apart by their conditions alone.
      if (seen?.has(folder)) continue;
      seen?.add(folder);
      yield folder;
    }
  }
}

function* foldersBelow(path: string, levels: WeightsTree["levels"], onUnreadable: OnUnreadable): Generator<string> {
  const [level, ...rest] = levels;
  if (level === undefined) yield path;
  else if (typeof level === "string") {
    const below = join(path, level);
    if (isFolder(below)) yield* foldersBelow(below, rest, onUnreadable);
  } else {
    for (const name of subfolders(path, onUnreadable)) {
      if (level === null || level(name)) yield* foldersBelow(join(path, name), rest, onUnreadable);
    }
  }
}

function subfolders(path: string, onUnreadable: OnUnreadable): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() || (isTypeless(entry) && isFolder(join(path, entry.name))))
      .map(({ name }) => name);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) onUnreadable(path, errnoOf(error) ?? String(error));
    return [];
  }
}

/** Some network file systems leave the type out of a folder's entries (readdir(3), DT_UNKNOWN). */
function isTypeless(entry: {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isFIFO(): boolean;
}): boolean {
  return !entry.isFile() && !entry.isDirectory() && !entry.isSymbolicLink() && !entry.isFIFO();
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
