import { type Dirent, lstatSync, type Stats } from "node:fs";
import { errnoOf, isErrno } from "../libc/errno.ts";
import { isUnreachable, notUtf8 } from "./byte-names.ts";

export interface EntriesHolding {
  /** Names of subfolders in which the file is. */
  readonly names: readonly string[];
  /** Symbolic links that stand where a folder may, wherever they lead: paths below the folder. */
  readonly links: readonly string[];
  /** Folders that would not tell, with the errno. */
  readonly closed: readonly Closed[];
}

/** The same while it is being collected. */
export interface Collected {
  readonly names: string[];
  readonly links: string[];
  readonly closed: Closed[];
}

export interface Closed {
  /** The subfolder that it is in, or is. */
  readonly name: string;
  readonly path: string;
  readonly errno: string;
}

export interface Wanted {
  /** Folders of known names between the subfolder and the file. */
  readonly within: readonly string[];
  readonly file: string;
}

/** One subfolder, by the runtime's own means. */
export function lookInto(folder: string, name: string, { within, file }: Wanted, found: Collected): void {
  let path = `${folder}/${name}`;
  if (isUnreachable(path)) {
    found.closed.push({ name, path, errno: notUtf8 });
    return;
  }
  try {
    if (lstatSync([path, ...within, file].join("/"), { throwIfNoEntry: false }) === undefined) return;
    // A link to a folder would be another way to a folder that has its own.
    if (!isFolder(path)) return;
    for (const part of within) {
      path = `${path}/${part}`;
      const kind = kindAt(path);
      if (kind === "link") found.links.push(path.slice(folder.length + 1));
      if (kind !== "folder") return;
    }
    found.names.push(name);
  } catch (error) {
    if (isErrno(error, "ENOTDIR", "ENOENT", "ELOOP")) return;
    const errno = errnoOf(error) ?? String(error);
    found.closed.push({ name, path: closedFolder(`${folder}/${name}`, within), errno });
  }
}

/** The first on the way that cannot be searched. */
function closedFolder(path: string, [part, ...rest]: readonly string[]): string {
  if (part === undefined) return path;
  try {
    lstatSync(`${path}/${part}`);
  } catch {
    return path;
  }
  return closedFolder(`${path}/${part}`, rest);
}

export function isFolder(path: string): boolean {
  return kindAt(path) === "folder";
}

/** Null: anything else, and nothing. */
export type EntryKind = "folder" | "link" | null;

export function kindAt(path: string): EntryKind {
  return kindOf(lstatSync(path, { throwIfNoEntry: false }));
}

export function kindOf(entry: Stats | Dirent | undefined): EntryKind {
  return entry?.isDirectory() ? "folder" : entry?.isSymbolicLink() ? "link" : null;
}

/** Some network file systems leave the type out of a folder's entries (readdir(3), DT_UNKNOWN). */
export function isTypeless(entry: Dirent): boolean {
  return !entry.isFile() && !entry.isDirectory() && !entry.isSymbolicLink() && !isSpecial(entry);
}

function isSpecial(entry: Dirent): boolean {
  return entry.isFIFO() || entry.isSocket() || entry.isCharacterDevice() || entry.isBlockDevice();
}
