import { lstatSync, type Stats, statSync } from "node:fs";
import { TrainlockError } from "../model/errors.ts";
import { allowedLinkOn, linkToNowhere } from "../system/files/allowed-links.ts";
import { foldersCalled, isUnreachable, notUtf8 } from "../system/files/byte-names.ts";
import { callsFor, type FolderCalls } from "../system/files/folder-calls.ts";
import { contains } from "../system/files/mount-table.ts";
import { isWithin, requireWithin } from "../system/files/within.ts";
import { errnoOf, isErrno } from "../system/libc/errno.ts";
import { inLanes } from "../system/map-concurrent.ts";
import type { Layout, WeightsTree } from "./layout.ts";

/** Told about folders that could not be looked into; the rest is listed all the same. */
export type OnUnreadable = (path: string, errno: string) => void;

/** What a walk has to say besides the folders that it finds. */
export interface WalkEvents {
  readonly onUnreadable: OnUnreadable;
  /** A symbolic link where a folder belongs: it is not followed, and what is behind it is not seen. */
  readonly onLink: (path: string) => void;
  /** A link that the site allows, and that is followed. */
  readonly onFollowed?: (path: string) => void;
}

type Level = WeightsTree["levels"][number];

/**
 * The folders that configurations train in, by the depth of the layout. The walk never enters checkpoint folders. Below the
 * root it follows only symbolic links that the site allows. Folders that vanish meanwhile are left out. A weights dir behind
 * an allowed link that leads nowhere here is among them. Over a network many are asked at once.
 */
export function weightsFolders(layout: Layout, events: WalkEvents): Promise<string[]> {
  return walked(layout, events, ({ top, levels }, calls, all) =>
    foldersBelow({ layout, calls, events: all, isWhole: true }, [top], levels),
  );
}

/** Those of them that have a file of this name: the same walk, with one look at each folder and none into it. */
export function weightsFoldersHolding(layout: Layout, file: string, given: WalkEvents): Promise<string[]> {
  const { onUnreadable } = given;
  return walked(layout, given, async ({ top, levels }, calls, events) => {
    const last = levels.findLastIndex((level) => typeof level !== "string");
    // The names that follow are known, and are asked for in the same look.
    const within = levels.slice(last + 1).filter((level) => typeof level === "string");
    const parents = await foldersBelow({ layout, calls, events, isWhole: false }, [top], levels.slice(0, last));
    const holding = await inLanes(parents, calls.lanes, (parent) =>
      readable(parent, onUnreadable, async () => {
        const { names, links, closed } = await calls.holding(parent, { within, file });
        const fitting = (name: string) => fits(levels[last] ?? null, name);
        const behind = enterLinks(
          layout,
          parent,
          links.filter((link) => fitting(link.split("/", 1)[0] ?? "")),
          events,
          true,
        );
        const byName: string[] = [];
        for (const { name, path, errno } of closed) {
          if (!fitting(name)) continue;
          if (errno === notUtf8) byName.push(...byBytes(parent, name, events));
          else onUnreadable(path, errno);
        }
        // A link may stand in the place of a folder of a known name: some of those are in its path then.
        const linked = behind.map((path) =>
          [path, ...within.slice(path.slice(parent.length + 1).split("/").length - 1)].join("/"),
        );
        const found = [...byName.map((folder) => [folder, ...within].join("/")), ...linked];
        const holds = (folder: string) =>
          holdsFile(folder, file, onUnreadable) || linkToNowhere(layout, folder) !== null;
        return [...names.filter(fitting).map((name) => [parent, name, ...within].join("/")), ...found.filter(holds)];
      }),
    );
    return holding.flat();
  });
}

/** A folder behind a link that its owner has closed is reported alone: those beside it are looked at. */
function holdsFile(folder: string, file: string, onUnreadable: OnUnreadable): boolean {
  try {
    return lstatSync(`${folder}/${file}`, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    // Where no folder is, no file is.
    if (!isErrno(error, "ENOTDIR")) onUnreadable(folder, errnoOf(error) ?? "");
    return false;
  }
}

async function walked(
  layout: Layout,
  events: WalkEvents,
  find: (tree: WeightsTree, calls: FolderCalls, events: WalkEvents) => Promise<string[]>,
): Promise<string[]> {
  const { onUnreadable } = events;
  // Templates of one tree, told apart by their conditions alone, lead to the same folders.
  const found = new Set<string>();
  const followed = new Set<string>();
  const onFollowed = (path: string) => {
    if (!followed.has(path)) events.onFollowed?.(path);
    followed.add(path);
  };
  for (const tree of layout.weightsTrees) {
    const { top } = tree;
    const link = allowedLinkOn(layout, top);
    if (!isWithin(layout, top)) onUnreadable(top, "leads out of the root");
    else if (linkToNowhere(layout, top) !== null) onUnreadable(top, leadsNowhere);
    else {
      if (link !== null) onFollowed(link.path);
      for (const folder of await find(tree, callsFor(top), { ...events, onFollowed })) found.add(folder);
    }
  }
  if (followed.size > 0) tellShared([...found], [...followed], onUnreadable);
  return [...found];
}

const leadsNowhere = "a link that leads nowhere on this host";

/** Reports links of two configurations that lead to one folder. Nobody could know which of the two is trained there. */
function tellShared(found: readonly string[], followed: readonly string[], onUnreadable: OnUnreadable): void {
  const first = new Map<string, string>();
  for (const folder of found) {
    if (!followed.some((link) => contains(link, folder))) continue;
    const stats = statHere(folder);
    if (stats === null) continue;
    const key = `${stats.dev} ${stats.ino}`;
    const other = first.get(key);
    if (other === undefined) first.set(key, folder);
    else onUnreadable(folder, `it is the same folder as ${other}, and two configurations would train in it`);
  }
}

/** Null: it has vanished, or nobody here may look at it. Whoever looks into it then says so. */
function statHere(folder: string): Stats | null {
  try {
    return statSync(folder);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return null;
  }
}

/** Whether a configuration's weights dir may lie there, by its names. */
export function isWeightsPlace(layout: Layout, path: string): boolean {
  return layout.weightsTrees.some(({ top, levels }) => {
    if (!path.startsWith(`${top}/`)) return false;
    const names = path.slice(top.length + 1).split("/");
    return names.length === levels.length && levels.every((level, index) => fits(level, names[index] ?? ""));
  });
}

interface Walk {
  readonly layout: Layout;
  readonly calls: FolderCalls;
  readonly events: WalkEvents;
  /** The last of its levels are weights dirs. */
  readonly isWhole: boolean;
}

async function foldersBelow(
  walk: Walk,
  places: readonly string[],
  [level, ...rest]: readonly Level[],
): Promise<string[]> {
  if (level === undefined) return [...places];
  const { layout, calls, events } = walk;
  const isLast = walk.isWhole && rest.every((below) => typeof below === "string");
  const below = await inLanes(places, calls.lanes, (place) =>
    readable(place, events.onUnreadable, async () => {
      if (typeof level === "string") {
        const kind = await calls.kindAt(`${place}/${level}`);
        if (kind === "link") return enterLinks(layout, place, [level], events, isLast);
        return kind === "folder" ? [`${place}/${level}`] : [];
      }
      const { folders, links } = await calls.subfolders(place);
      const fitting = (name: string) => fits(level, name);
      const behind = enterLinks(layout, place, links.filter(fitting), events, isLast);
      const found = folders.filter(fitting).flatMap((name) => {
        const path = `${place}/${name}`;
        return isUnreachable(path) ? byBytes(place, name, events) : [path];
      });
      return [...found, ...behind];
    }),
  );
  return foldersBelow(walk, below.flat(), rest);
}

/** Folders whose names are no UTF-8, by another way to them; said where there is none. */
function byBytes(place: string, name: string, { onUnreadable }: WalkEvents): string[] {
  const folders = foldersCalled(place, name);
  if (folders.length === 0) onUnreadable(`${place}/${name}`, notUtf8);
  return folders.map(({ alias }) => alias);
}

/**
 * The paths of those links that the site allows and that can be followed. Those that lead to files are none of ours. Where it
 * cannot be told where one leads, a folder may be behind it. `isLast`: one weights dir is behind each, and is returned even where
 * it leads nowhere on this host.
 */
function enterLinks(
  layout: Layout,
  place: string,
  names: readonly string[],
  { onLink, onFollowed, onUnreadable }: WalkEvents,
  isLast: boolean,
): string[] {
  return names.flatMap((name) => {
    const path = `${place}/${name}`;
    if (leadsToFile(path)) return [];
    if (allowedLinkOn(layout, path)?.path !== path) {
      onLink(path);
      return [];
    }
    try {
      if (linkToNowhere(layout, path) !== null) {
        if (!isLast) onUnreadable(path, leadsNowhere);
        return isLast ? [path] : [];
      }
      requireWithin(layout, path);
      onFollowed?.(path);
      return [path];
    } catch (error) {
      if (!(error instanceof TrainlockError) && errnoOf(error) === undefined) throw error;
      onUnreadable(path, error instanceof TrainlockError ? error.message : (errnoOf(error) ?? ""));
      return [];
    }
  });
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
