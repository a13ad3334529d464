import { type Dirent, lstatSync, readdirSync, type Stats } from "node:fs";
import { lazily } from "../../model/lazily.ts";
import { isErrno } from "../libc/errno.ts";
import { inLanes } from "../map-concurrent.ts";
import { entriesHolding } from "./entries-holding.ts";
import {
  type Collected,
  type EntriesHolding,
  type EntryKind,
  isTypeless,
  kindAt,
  kindOf,
  lookInto,
  type Wanted,
} from "./look-into.ts";
import { mountOf } from "./mounts.ts";
import { allowManyCalls, mostCalls } from "./thread-pool.ts";

/** Loaded for a walk over a network: no other call should pay for it. */
const calls = lazily(() => import("node:fs/promises"));

export type Now<T> = T | Promise<T>;

/** Names of folders, and of symbolic links, wherever they lead. */
interface Subfolders {
  readonly folders: readonly string[];
  readonly links: readonly string[];
}

/** What a walk asks of a file system. All throw what the calls of the runtime throw. */
export interface FolderCalls {
  /** How many of them are worth being asked at once. */
  readonly lanes: number;
  kindAt(path: string): Now<EntryKind>;
  /** Whether anything stands there. */
  isThere(path: string): Now<boolean>;
  /** What is in it; null where nothing stands there. */
  names(path: string): Now<readonly string[] | null>;
  subfolders(path: string): Now<Subfolders>;
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
  kindAt,
  isThere: (path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined,
  names: (path) => {
    try {
      return readdirSync(path);
    } catch (error) {
      return nullWhereNothingIs(error);
    }
  },
  subfolders: (path) => {
    const entries = readdirSync(path, { withFileTypes: true });
    return byKind(
      entries,
      entries.map((entry) => (isTypeless(entry) ? kindAt(`${path}/${entry.name}`) : kindOf(entry))),
    );
  },
  holding: entriesHolding,
};

const manyAtOnce: FolderCalls = {
  lanes: mostCalls,
  kindAt: kindAsked,
  isThere: async (path) => (await statsAsked(path)) !== undefined,
  names: namesAsked,
  subfolders: async (path) => {
    const entries = await (await calls()).readdir(path, { withFileTypes: true });
    const kinds = await inLanes(entries, mostCalls, (entry) =>
      isTypeless(entry) ? kindAsked(`${path}/${entry.name}`) : kindOf(entry),
    );
    return byKind(entries, kinds);
  },
  holding: async (path, wanted) => {
    const entries = await (await calls()).readdir(path, { withFileTypes: true });
    const links = entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => name);
    const found: Collected = { names: [], links, closed: [] };
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
    await (await calls()).readlink(path);
    return true;
  } catch (error) {
    return !isErrno(error, "ENOENT", "ENOTDIR");
  }
}

async function namesAsked(path: string): Promise<readonly string[] | null> {
  try {
    return await (await calls()).readdir(path);
  } catch (error) {
    return nullWhereNothingIs(error);
  }
}

function nullWhereNothingIs(error: unknown): null {
  if (isErrno(error, "ENOENT")) return null;
  throw error;
}

async function kindAsked(path: string): Promise<EntryKind> {
  return kindOf(await statsAsked(path));
}

async function statsAsked(path: string): Promise<Stats | undefined> {
  try {
    return await (await calls()).lstat(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function byKind(entries: readonly Dirent[], kinds: readonly EntryKind[]): Subfolders {
  const names = (kind: EntryKind) => entries.filter((_, index) => kinds[index] === kind).map(({ name }) => name);
  return { folders: names("folder"), links: names("link") };
}
