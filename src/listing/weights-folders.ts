import type { Layout, WeightsTree } from "../site/layout.ts";
import { callsFor, type FolderCalls } from "../system/files/folder-calls.ts";
import { isWithin } from "../system/files/within.ts";
import { errnoOf, isErrno } from "../system/libc/errno.ts";
import { inLanes } from "../system/map-concurrent.ts";

/** Told about folders that could not be looked into; the rest is listed all the same. */
export type OnUnreadable = (path: string, errno: string) => void;

type Level = WeightsTree["levels"][number];

/**
 * The folders that configurations train in, by the layout's own depth: never into checkpoint folders, never through
 * symbolic links below the root, and indifferent to folders that vanish meanwhile. Over a network many are asked at once.
 */
export function weightsFolders(layout: Layout, onUnreadable: OnUnreadable): Promise<string[]> {
  return walked(layout, onUnreadable, ({ top, levels }, calls) => foldersBelow([top], levels, calls, onUnreadable));
}

/** Those of them that have a file of this name: the same walk, with one look at each folder and none into it. */
export function weightsFoldersHolding(layout: Layout, file: string, onUnreadable: OnUnreadable): Promise<string[]> {
  return walked(layout, onUnreadable, async ({ top, levels }, calls) => {
    const last = levels.findLastIndex((level) => typeof level !== "string");
    // The names that follow are known, and are asked for in the same look.
    const within = levels.slice(last + 1).filter((level) => typeof level === "string");
    const parents = await foldersBelow([top], levels.slice(0, last), calls, onUnreadable);
    const holding = await inLanes(parents, calls.lanes, (parent) =>
      readable(parent, onUnreadable, async () => {
        const { names, closed } = await calls.holding(parent, { within, file });
        const fitting = (name: string) => fits(levels[last] ?? null, name);
        for (const { name, path, errno } of closed) if (fitting(name)) onUnreadable(path, errno);
        return names.filter(fitting).map((name) => [parent, name, ...within].join("/"));
      }),
    );
    return holding.flat();
  });
}

async function walked(
  layout: Layout,
  onUnreadable: OnUnreadable,
  find: (tree: WeightsTree, calls: FolderCalls) => Promise<string[]>,
): Promise<string[]> {
  // Templates of one tree, told apart by their conditions alone, lead to the same folders.
  const found = new Set<string>();
  for (const tree of layout.weightsTrees) {
    if (!isWithin(layout.root, tree.top)) onUnreadable(tree.top, "leads out of the root");
    else for (const folder of await find(tree, callsFor(tree.top))) found.add(folder);
  }
  return [...found];
}

async function foldersBelow(
  places: readonly string[],
  [level, ...rest]: readonly Level[],
  calls: FolderCalls,
  onUnreadable: OnUnreadable,
): Promise<string[]> {
  if (level === undefined) return [...places];
  const below = await inLanes(places, calls.lanes, (place) =>
    readable(place, onUnreadable, async () => {
      if (typeof level === "string") return (await calls.isFolder(`${place}/${level}`)) ? [`${place}/${level}`] : [];
      const names = await calls.subfolders(place);
      return names.filter((name) => fits(level, name)).map((name) => `${place}/${name}`);
    }),
  );
  return foldersBelow(below.flat(), rest, calls, onUnreadable);
}

function fits(level: Level, name: string): boolean {
  return level === null || (typeof level === "string" ? level === name : level(name));
}

/** Nothing where the folder has vanished meanwhile. */
async function readable(path: string, onUnreadable: OnUnreadable, read: () => Promise<string[]>): Promise<string[]> {
  try {
    return await read();
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) onUnreadable(path, errnoOf(error) ?? String(error));
    return [];
  }
}
