import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Layout, WeightsTree } from "../model/layout.ts";
import { entriesHolding } from "../system/entries-holding.ts";
import { errnoOf, isErrno } from "../system/errno.ts";
import { isWithin } from "../system/within.ts";

/** Told about folders that could not be looked into; the rest is listed all the same. */
export type OnUnreadable = (path: string, errno: string) => void;

/**
 * The folders that configurations train in, by the layout's own depth: never into checkpoint folders, never through
 * symbolic links below the root, and indifferent to folders that vanish meanwhile.
 */
export function* weightsFolders(layout: Layout, onUnreadable: OnUnreadable): Generator<string> {
  yield* walked(layout, onUnreadable, (parent, level) => subfolders(parent, level, onUnreadable));
}

/** Those of them that have a file of this name: the same walk, with one look at each folder and none into it. */
export function* weightsFoldersHolding(layout: Layout, file: string, onUnreadable: OnUnreadable): Generator<string> {
  yield* walked(layout, onUnreadable, (parent, level) => holders(parent, level, file, onUnreadable));
}

type Level = Exclude<WeightsTree["levels"][number], undefined>;
/** The wanted folders on the last level of a tree. */
type LastLevel = (parent: string, level: Level) => string[];

function* walked(layout: Layout, onUnreadable: OnUnreadable, last: LastLevel): Generator<string> {
  const seen = layout.weightsTrees.length > 1 ? new Set<string>() : null;
  for (const { top, levels } of layout.weightsTrees) {
    if (!isWithin(layout.root, top)) {
      onUnreadable(top, "leads out of the root");
      continue;
    }
    for (const folder of foldersBelow(top, levels, onUnreadable, last)) {
      // Templates of one tree, told apart by their conditions alone.
      if (seen?.has(folder)) continue;
      seen?.add(folder);
      yield folder;
    }
  }
}

function* foldersBelow(
  path: string,
  levels: WeightsTree["levels"],
  onUnreadable: OnUnreadable,
  last: LastLevel,
): Generator<string> {
  const [level, ...rest] = levels;
  if (level === undefined) return;
  if (rest.length === 0) for (const name of last(path, level)) yield `${path}/${name}`;
  else
    for (const name of subfolders(path, level, onUnreadable))
      yield* foldersBelow(`${path}/${name}`, rest, onUnreadable, last);
}

function fits(level: Level, name: string): boolean {
  return level === null || (typeof level === "string" ? level === name : level(name));
}

function holders(parent: string, level: Level, file: string, onUnreadable: OnUnreadable): string[] {
  return readable(parent, onUnreadable, () => {
    const { names, closed } = entriesHolding(parent, file);
    for (const { name, errno } of closed) if (fits(level, name)) onUnreadable(`${parent}/${name}`, errno);
    return names.filter((name) => fits(level, name));
  });
}

function subfolders(parent: string, level: Level, onUnreadable: OnUnreadable): string[] {
  if (typeof level === "string") return isFolder(join(parent, level)) ? [level] : [];
  return readable(parent, onUnreadable, () =>
    readdirSync(parent, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || (isTypeless(entry) && isFolder(join(parent, entry.name))))
      .map(({ name }) => name)
      .filter((name) => fits(level, name)),
  );
}

/** Nothing where the folder has vanished meanwhile. */
function readable(path: string, onUnreadable: OnUnreadable, read: () => string[]): string[] {
  try {
    return read();
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
