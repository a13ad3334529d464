import {
  type BigIntStats,
  type Dirent,
  existsSync,
  fstatSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { isOwnName, markerPath } from "../site/layout.ts";
import { timeByNewFile } from "../stores/folder/temporary-file.ts";
import { asSystemError, isErrno } from "../system/libc/errno.ts";

/** What a weights dir was like when a command was started. */
export interface FolderMark {
  readonly names: ReadonlySet<string>;
  /** Nanoseconds since the epoch by the file server's clock; null: there was no folder. */
  readonly sinceNs: bigint | null;
  /** What each file and folder was like: rights and owners are changed by scripts that train nothing, `chmod -R` in a trap. */
  readonly before: ReadonlyMap<string, string>;
  /** Files that take the command's output, and their folders: who is locked out says so there, and has trained nothing. */
  readonly outputs: ReadonlySet<string>;
}

/** Taken under the claim, before the command is started. `outputs`: descriptors that become its standard output and error. */
export function markFolder(weightsDir: string, outputs: readonly number[]): FolderMark {
  const names = new Set(entriesOf(weightsDir).map(({ name }) => name));
  // The claim has just placed its marker; claims of a remote store place none.
  const marker = lstatSync(markerPath(weightsDir), { bigint: true, throwIfNoEntry: false });
  const sinceNs = marker?.ctimeNs ?? (existsSync(weightsDir) ? timeByNewFile(weightsDir) : null);
  const before = new Map<string, string>();
  if (sinceNs !== null) noteBefore(weightsDir, before);
  return { names, sinceNs, before, outputs: new Set(outputs.flatMap(fileAndFolders)) };
}

function fileAndFolders(fd: number): readonly string[] {
  const found: string[] = [];
  try {
    found.push(fileOf(fstatSync(fd, { bigint: true })));
    // A folder changes with each log that is made in it.
    for (let at = dirname(readlinkSync(`/proc/self/fd/${fd}`)); at !== "." && at !== "/"; at = dirname(at))
      found.push(fileOf(statSync(at, { bigint: true })));
  } catch {
    // Closed by the caller, or removed since.
  }
  return found;
}

function fileOf({ dev, ino }: BigIntStats): string {
  return `${dev} ${ino}`;
}

/** A data set in a weights dir is not walked through: what is not noted is judged by its time of change alone. */
const mostNoted = 20_000;

function noteBefore(folder: string, before: Map<string, string>): void {
  let entries: readonly Dirent[] = [];
  try {
    entries = entriesOf(folder);
  } catch {
    // Another's folder, which nobody here may look into.
  }
  for (const entry of entries) {
    if (before.size >= mostNoted) return;
    const path = join(folder, entry.name);
    note(before, path, lstatSync, path);
    if (entry.isSymbolicLink()) note(before, targetOf(path), statSync, path);
    if (entry.isDirectory()) noteBefore(path, before);
  }
}

function note(before: Map<string, string>, key: string, look: Look, path: string): void {
  try {
    const stats = lookAt(look, path);
    if (stats !== null) before.set(key, contentOf(stats));
  } catch {
    // As above.
  }
}

/** What a link names, as a key beside those of paths. */
function targetOf(link: string): string {
  return `${link}\0`;
}

function contentOf({ ino, size, mtimeNs }: BigIntStats): string {
  return [ino, size, mtimeNs].join(" ");
}

/**
 * Whether something has been created or changed in a weights dir since, trainlock's own files and the command's output left out. By
 * change times of the file server, which no program can set back, and not by those of rights, owners and hard links alone. A link
 * counts with the file or folder outside that it names, and is not walked through. Throws what looking into a folder does, unless
 * something else has changed.
 */
export function hasChangedSince(weightsDir: string, { names, sinceNs, before, outputs }: FolderMark): boolean {
  const entries = entriesOf(weightsDir).filter(({ name }) => !isOwnName(name));
  if (entries.some(({ name }) => !names.has(name) && !takesOutput(join(weightsDir, name), outputs))) return true;
  if (sinceNs === null || entries.length === 0) return false;
  const inside = realpathSync(weightsDir);
  return someChanged(weightsDir, entries, { sinceNs, before, outputs, inside });
}

function takesOutput(path: string, outputs: ReadonlySet<string>): boolean {
  const stats = lookAt(lstatSync, path);
  return stats !== null && outputs.has(fileOf(stats));
}

interface Since extends Pick<FolderMark, "before" | "outputs"> {
  readonly sinceNs: bigint;
  /** The weights dir without links. */
  readonly inside: string;
}

function someChanged(folder: string, entries: readonly Dirent[], since: Since): boolean {
  let unseen: unknown = null;
  for (const entry of entries) {
    try {
      if (isChanged(join(folder, entry.name), entry, since)) return true;
    } catch (error) {
      unseen ??= error;
    }
  }
  if (unseen !== null) throw unseen;
  return false;
}

function isChanged(path: string, entry: Dirent, since: Since): boolean {
  if (isOther(lookAt(lstatSync, path), path, since)) return true;
  if (entry.isSymbolicLink())
    return isOther(lookAt(statSync, path), targetOf(path), since) && leadsAway(path, since.inside);
  return entry.isDirectory() && someChanged(path, entriesOf(path), since);
}

function isOther(stats: BigIntStats | null, key: string, { sinceNs, before, outputs }: Since): boolean {
  if (stats === null || stats.ctimeNs < sinceNs || outputs.has(fileOf(stats))) return false;
  return before.get(key) !== contentOf(stats);
}

/** What is in the weights dir is looked at by itself; the folder itself and those around it change with each claim. */
function leadsAway(link: string, inside: string): boolean {
  const target = realpathSync(link);
  return !`${target}/`.startsWith(`${inside}/`) && !`${inside}/`.startsWith(`${target}/`);
}

type Look = typeof statSync | typeof lstatSync;

/** Null: nothing is there. */
function lookAt(look: Look, path: string): BigIntStats | null {
  try {
    return look(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch (error) {
    if (isErrno(error, "ENOTDIR", "ELOOP", "ENAMETOOLONG")) return null;
    throw asSystemError("look at", path, error);
  }
}

/** None where there is no such folder. */
function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw asSystemError("look into", folder, error);
  }
}
