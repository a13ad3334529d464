import { lstatSync, statSync } from "node:fs";
import type { Layout, WeightsTree } from "../site/layout.ts";
import { foldersCalled, isUnreachable, notUtf8 } from "../system/files/byte-names.ts";
import { callsFor, type FolderCalls } from "../system/files/folder-calls.ts";
import { isWithin } from "../system/files/within.ts";
import { errnoOf, isErrno } from "../system/libc/errno.ts";
import { inLanes } from "../system/map-concurrent.ts";

/** Told about folders that could not be looked into; the rest is listed all the same. */
export type OnUnreadable = (path: string, errno: string) => void;

/** What a walk has to say besides the folders that it finds. */
export interface WalkEvents {
  readonly onUnreadable: OnUnreadable;
  /** A symbolic link where a folder belongs: it is not followed, and what is behind it is not seen. */
  readonly onLink: (path: string) => void;
}

type Level = WeightsTree["levels"][number];

/**
 * The folders that configurations train in, by the layout's own depth: never into checkpoint folders, never through
 * symbolic links below the root, and indifferent to folders that vanish meanwhile. Over a network many are asked at once.
 */
export function weightsFolders(layout: Layout, events: WalkEvents): Promise<string[]> {
  return walked(layout, events, ({ top, levels }, calls) => foldersBelow([top], levels, calls, events));
}

/** Those of them that have a file of this name: the same walk, with one look at each folder and none into it. */
export function weightsFoldersHolding(layout: Layout, file: string, events: WalkEvents): Promise<string[]> {
  const { onUnreadable } = events;
  return walked(layout, events, async ({ top, levels }, calls) => {
    const last = levels.findLastIndex((level) => typeof level !== "string");
    // The names that follow are known, and are asked for in the same look.
    const within = levels.slice(last + 1).filter((level) => typeof level === "string");
    const parents = await foldersBelow([top], levels.slice(0, last), calls, events);
    const holding = await inLanes(parents, calls.lanes, (parent) =>
      readable(parent, onUnreadable, async () => {
        const { names, links, closed } = await calls.holding(parent, { within, file });
        const fitting = (name: string) => fits(levels[last] ?? null, name);
        tellLinks(
          parent,
          links.filter((link) => fitting(link.split("/", 1)[0] ?? "")),
          events,
        );
        const byName: string[] = [];
        for (const { name, path, errno } of closed) {
          if (!fitting(name)) continue;
          if (errno === notUtf8) byName.push(...byBytes(parent, name, events));
          else onUnreadable(path, errno);
        }
        const found = byName.map((folder) => [folder, ...within].join("/"));
        const holds = (folder: string) => lstatSync(`${folder}/${file}`, { throwIfNoEntry: false }) !== undefined;
        return [...names.filter(fitting).map((name) => [parent, name, ...within].join("/")), ...found.filter(holds)];
      }),
    );
    return holding.flat();
  });
}

async function walked(
  layout: Layout,
  { onUnreadable }: WalkEvents,
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
  events: WalkEvents,
): Promise<string[]> {
  if (level === undefined) return [...places];
  const below = await inLanes(places, calls.lanes, (place) =>
    readable(place, events.onUnreadable, async () => {
      if (typeof level === "string") {
        const kind = await calls.kindAt(`${place}/${level}`);
        if (kind === "link") tellLinks(place, [level], events);
        return kind === "folder" ? [`${place}/${level}`] : [];
      }
      const { folders, links } = await calls.subfolders(place);
      const fitting = (name: string) => fits(level, name);
      tellLinks(place, links.filter(fitting), events);
      return folders.filter(fitting).flatMap((name) => {
        const path = `${place}/${name}`;
        return isUnreachable(path) ? byBytes(place, name, events) : [path];
      });
    }),
  );
  return foldersBelow(below.flat(), rest, calls, events);
}

/** Folders whose names are no UTF-8, by another way to them; said where there is none. */
function byBytes(place: string, name: string, { onUnreadable }: WalkEvents): string[] {
  const folders = foldersCalled(place, name);
  if (folders.length === 0) onUnreadable(`${place}/${name}`, notUtf8);
  return folders.map(({ alias }) => alias);
}

/** Those that lead to files are none of ours. Where it cannot be told where one leads, a folder may be behind it. */
function tellLinks(place: string, names: readonly string[], { onLink }: WalkEvents): void {
  for (const name of names) if (!leadsToFile(`${place}/${name}`)) onLink(`${place}/${name}`);
}

function leadsToFile(link: string): boolean {
  try {
    return statSync(link).isDirectory() === false;
  } catch {
    return false;
  }
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
