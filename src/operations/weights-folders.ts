import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Layout } from "../model/layout.ts";
import { errnoOf, isErrno } from "../system/errno.ts";

/** Told about folders that could not be looked into; the rest is listed all the same. */
export type OnUnreadable = (path: string, errno: string) => void;

/**
 * The folders that configurations train in, by the layout's own depth: never into checkpoint folders, never through
 * symbolic links below the top, and indifferent to folders that vanish meanwhile.
 */
export function* weightsFolders(layout: Layout, onUnreadable: OnUnreadable): Generator<string> {
  for (const { top, depth } of layout.weightsTrees) yield* foldersBelow(top, depth, onUnreadable);
}

function* foldersBelow(path: string, depth: number, onUnreadable: OnUnreadable): Generator<string> {
  for (const name of subfolders(path, onUnreadable)) {
    const below = join(path, name);
    if (depth > 1) yield* foldersBelow(below, depth - 1, onUnreadable);
    else yield below;
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
