import { readdirSync } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { isErrno } from "../libc/errno.ts";
import { inLanes } from "../map-concurrent.ts";
import { entriesHolding } from "./entries-holding.ts";
import { type Closed, type EntriesHolding, isFolder, isTypeless, lookInto, type Wanted } from "./look-into.ts";
import { mountOf } from "./mounts.ts";
import { allowManyCalls, mostCalls } from "./thread-pool.ts";

type Now<T> = T | Promise<T>;

/** What a walk asks of a file system. All throw what the calls of the runtime throw. */
export interface FolderCalls {
  /** How many of them are worth being asked at once. */
  readonly lanes: number;
  isFolder(path: string): Now<boolean>;
  /** Names of folders, without symbolic links. */
  subfolders(path: string): Now<string[]>;
  /** Subfolders that have an entry of this name, of whatever kind. */
  holding(path: string, wanted: Wanted): Now<EntriesHolding>;
}

/** On a disk of this host the answer is there before another thread could have asked. Over a network it is a journey. */
export function callsFor(path: string): FolderCalls {
  if (mountOf(path).shared === false) return oneByOne;
  allowManyCalls();
  return manyAtOnce;
}

const oneByOne: FolderCalls = {
  lanes: 1,
  isFolder,
  subfolders: (path) =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || (isTypeless(entry) && isFolder(`${path}/${entry.name}`)))
      .map(({ name }) => name),
  holding: entriesHolding,
};

const manyAtOnce: FolderCalls = {
  lanes: mostCalls,
  isFolder: isFolderAsked,
  subfolders: async (path) => {
    const entries = await readdir(path, { withFileTypes: true });
    const folders = await inLanes(entries, mostCalls, (entry) =>
      isTypeless(entry) ? isFolderAsked(`${path}/${entry.name}`) : entry.isDirectory(),
    );
    return entries.filter((_, index) => folders[index]).map(({ name }) => name);
  },
  holding: async (path, wanted) => {
    const entries = await readdir(path, { withFileTypes: true });
    const found = { names: [] as string[], closed: [] as Closed[] };
    const tail = [...wanted.within, wanted.file].join("/");
    const likely = entries.filter((entry) => entry.isDirectory() || isTypeless(entry)).map(({ name }) => name);
    await inLanes(likely, mostCalls, async (name) => {
      if (await mayHave(`${path}/${name}/${tail}`)) lookInto(path, name, wanted, found);
    });
    return found;
  },
};

/** One call: EINVAL says that it is there, and no link (readlink(2)). */
async function mayHave(path: string): Promise<boolean> {
  try {
    await readlink(path);
    return true;
  } catch (error) {
    return !isErrno(error, "ENOENT", "ENOTDIR");
  }
}

async function isFolderAsked(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}
