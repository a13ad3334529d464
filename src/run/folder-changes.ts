import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { markerPath } from "../site/layout.ts";
import { timeByNewFile } from "../stores/folder/temporary-file.ts";
import { isErrno } from "../system/libc/errno.ts";
import { isOwnName } from "./matching-files.ts";

/** What a weights dir was like when a command was started. */
export interface FolderMark {
  readonly names: ReadonlySet<string>;
  /** Nanoseconds since the epoch by the file server's clock; null: there was no folder. */
  readonly sinceNs: bigint | null;
}

/** Taken under the claim, before the command is started. */
export function markFolder(weightsDir: string): FolderMark {
  const names = new Set(entriesOf(weightsDir).map(({ name }) => name));
  // The claim has just placed its marker; claims of a remote store place none.
  const marker = lstatSync(markerPath(weightsDir), { bigint: true, throwIfNoEntry: false });
  return { names, sinceNs: marker?.ctimeNs ?? (existsSync(weightsDir) ? timeByNewFile(weightsDir) : null) };
}

/**
 * Whether something has been created or changed in a weights dir since, trainlock's own files left out. By change times of the
 * file server, which no program can set back. Throws what looking into the folder does.
 */
export function hasChangedSince(weightsDir: string, { names, sinceNs }: FolderMark): boolean {
  const entries = entriesOf(weightsDir).filter(({ name }) => !isOwnName(name));
  if (entries.some(({ name }) => !names.has(name))) return true;
  return (
    sinceNs !== null && entries.some((entry) => isChanged(join(weightsDir, entry.name), entry.isDirectory(), sinceNs))
  );
}

function isChanged(path: string, isFolder: boolean, sinceNs: bigint): boolean {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return false;
  if (stats.ctimeNs >= sinceNs) return true;
  return isFolder && entriesOf(path).some((entry) => isChanged(join(path, entry.name), entry.isDirectory(), sinceNs));
}

/** None where there is no such folder. */
function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
