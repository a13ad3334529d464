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
  /** What has this time already: where times are whole seconds, that is what was made just before. */
  readonly made: ReadonlyMap<string, string>;
  /** Files that take the command's output, and their folders: who is locked out says so there, and has trained nothing. */
  readonly outputs: ReadonlySet<string>;
}

/** Taken under the claim, before the command is started. `outputs`: descriptors that become its standard output and error. */
export function markFolder(weightsDir: string, outputs: readonly number[]): FolderMark {
  const names = new Set(entriesOf(weightsDir).map(({ name }) => name));
  // The claim has just placed its marker; claims of a remote store place none.
  const marker = lstatSync(markerPath(weightsDir), { bigint: true, throwIfNoEntry: false });
  const sinceNs = marker?.ctimeNs ?? (existsSync(weightsDir) ? timeByNewFile(weightsDir) : null);
  const made = new Map<string, string>();
  if (sinceNs !== null && sinceNs % 1_000_000_000n === 0n) noteMade(weightsDir, sinceNs, made);
  return { names, sinceNs, made, outputs: new Set(outputs.flatMap(fileAndFolders)) };
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

function noteMade(folder: string, sinceNs: bigint, made: Map<string, string>): void {
  for (const entry of entriesOf(folder)) {
    const path = join(folder, entry.name);
    const stats = lookAt(lstatSync, path);
    if (stats !== null && stats.ctimeNs >= sinceNs) made.set(path, identityOf(stats));
    if (entry.isDirectory()) noteMade(path, sinceNs, made);
  }
}

function identityOf({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [ino, size, mtimeNs, ctimeNs].join(" ");
}

/**
 * Whether something has been created or changed in a weights dir since, trainlock's own files and the command's output left out. By
 * change times of the file server, which no program can set back. A link counts with the file or folder outside that it names, and
 * is not walked through. Throws what looking into a folder does, unless something else has changed.
 */
export function hasChangedSince(weightsDir: string, { names, sinceNs, made, outputs }: FolderMark): boolean {
  const entries = entriesOf(weightsDir).filter(({ name }) => !isOwnName(name));
  if (entries.some(({ name }) => !names.has(name) && !takesOutput(join(weightsDir, name), outputs))) return true;
  if (sinceNs === null || entries.length === 0) return false;
  const inside = realpathSync(weightsDir);
  return someChanged(weightsDir, entries, { sinceNs, made, outputs, inside });
}

function takesOutput(path: string, outputs: ReadonlySet<string>): boolean {
  const stats = lookAt(lstatSync, path);
  return stats !== null && outputs.has(fileOf(stats));
}

interface Since extends Pick<FolderMark, "made" | "outputs"> {
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
  const stats = lookAt(lstatSync, path);
  const isChangedItself =
    stats !== null &&
    stats.ctimeNs >= since.sinceNs &&
    since.made.get(path) !== identityOf(stats) &&
    !since.outputs.has(fileOf(stats));
  if (isChangedItself) return true;
  if (entry.isSymbolicLink()) {
    const target = lookAt(statSync, path);
    const counts = target !== null && target.ctimeNs >= since.sinceNs && !since.outputs.has(fileOf(target));
    return counts && leadsAway(path, since.inside);
  }
  return entry.isDirectory() && someChanged(path, entriesOf(path), since);
}

/** What is in the weights dir is looked at by itself; the folder itself and those around it change with each claim. */
function leadsAway(link: string, inside: string): boolean {
  const target = realpathSync(link);
  return !`${target}/`.startsWith(`${inside}/`) && !`${inside}/`.startsWith(`${target}/`);
}

/** Null: nothing is there. */
function lookAt(look: typeof statSync | typeof lstatSync, path: string): BigIntStats | null {
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
