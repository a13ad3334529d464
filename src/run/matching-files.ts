import { type Dirent, readdir, readdirSync, statSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { isOwnName } from "../site/layout.ts";
import { asSystemError, isErrno } from "../system/libc/errno.ts";

/** A file of a weights dir that a pattern names, or a folder where folders are asked for, too. */
export interface MatchingFile {
  readonly path: string;
  readonly bytes: number;
  /** Last modification, nanoseconds since the epoch by the file server's clock. */
  readonly modifiedNs: bigint;
}

/** What was set aside so that a training could be made again (`work --again`) shows nothing any more. */
const setAside = /\.before-\d+(?:\/|$)/;

/**
 * The files in a weights dir that one pattern names, by name: the file of that very name, whatever characters it has, and
 * what the pattern fits as a glob. Nothing outside the folder, and nothing of trainlock's own. Throws an EnvironmentError
 * where that cannot be known.
 */
export function matchingFiles(
  weightsDir: string,
  pattern: string,
  { folders = false, names }: MatchingOptions = {},
): readonly MatchingFile[] | Promise<readonly MatchingFile[]> {
  const isThere = names === undefined || pattern.includes("/") || names.includes(pattern);
  const literal = isThere ? fileAt(weightsDir, pattern, folders) : null;
  // A plain name costs one look; the pattern library is loaded for patterns alone.
  if (!/[*?[\]{}()!]/.test(pattern)) return isFound(literal) ? [literal] : noFiles;
  const filesAt = (paths: readonly string[]) => {
    const others = paths.filter((path) => path !== pattern).sort();
    return [literal, ...others.map((path) => fileAt(weightsDir, path, folders))];
  };
  const inOneFolder = fitting(weightsDir, pattern, names);
  const files = inOneFolder === null ? null : filesAt(inOneFolder);
  if (files?.every((file) => file !== "folder")) return files.filter(isFound);
  return globbed(weightsDir, pattern, folders).then((paths) => filesAt(paths).filter(isFound));
}

function isFound(found: MatchingFile | "folder" | null): found is MatchingFile {
  return found !== null && found !== "folder";
}

const noFiles: readonly MatchingFile[] = [];

interface MatchingOptions {
  /** A folder counts as one file as large as all that is in it; else the files in it are what a pattern fits. */
  readonly folders?: boolean;
  /** What is in the weights dir, where somebody has just looked. */
  readonly names?: readonly string[] | undefined;
}

/** Those of the names in a weights dir that will be looked at for these patterns, as far as that is known beforehand. */
export function likelyMatches(names: readonly string[], patterns: readonly string[]): readonly string[] {
  return patterns.flatMap((pattern) => fitting("", pattern, names) ?? []);
}

/** Names in the weights dir that a glob fits, if it has no more than `*` and `?`: the usual case, and a fast one. Null: it has. */
function fitting(weightsDir: string, pattern: string, names: readonly string[] | undefined): readonly string[] | null {
  if (!/^[^/[\]{}()!\\]+$/.test(pattern) || pattern.includes("**")) return null;
  const body = pattern
    .replace(/[.+^$|]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  // As in a shell: what begins with a dot is fitted by what does, too.
  const test = new RegExp(`^${pattern.startsWith(".") ? "" : "(?!\\.)"}${body}$`, "s");
  return (names ?? namesIn(weightsDir)).filter((name) => test.test(name));
}

function namesIn(weightsDir: string): readonly string[] {
  try {
    return readdirSync(weightsDir);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw asSystemError("look into", weightsDir, error);
  }
}

/** "folder": one stands there, and folders are not asked for. */
function fileAt(weightsDir: string, name: string, folders: boolean): MatchingFile | "folder" | null {
  const [path, first] = placeOf(weightsDir, name);
  if (first === "" || first === ".." || isOwnName(first) || setAside.test(name)) return null;
  try {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    const isFolder = stats?.isDirectory() === true;
    if (isFolder && !folders) return "folder";
    if (stats === undefined || !(stats.isFile() || isFolder)) return null;
    return { path, bytes: isFolder ? bytesIn(path) : Number(stats.size), modifiedNs: stats.mtimeNs };
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ENAMETOOLONG", "ELOOP")) return null;
    throw asSystemError("look at", path, error);
  }
}

/** The path of a name or path in a weights dir, and the first folder or file on the way to it. */
function placeOf(weightsDir: string, name: string): readonly [path: string, first: string] {
  // Most are plain names, one for each of thousands of rows.
  if (!name.includes("/") && name !== "." && name !== "..") return [`${weightsDir}/${name}`, name];
  const path = resolve(weightsDir, name);
  return [path, relative(weightsDir, path).split(sep)[0] ?? ""];
}

function bytesIn(folder: string): number {
  const sizes = readdirSync(folder, { withFileTypes: true }).map((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? bytesIn(path) : (statSync(path, { throwIfNoEntry: false })?.size ?? 0);
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Throws where nothing fits and a folder on the way could not be looked into: what fits may lie there. */
async function globbed(weightsDir: string, pattern: string, folders: boolean): Promise<string[]> {
  const { glob } = await import("tinyglobby");
  const unseen: { folder: string; error: NodeJS.ErrnoException }[] = [];
  /** A checkpoint may be a link to where there is room. Links to folders are not followed: they may lead in circles. */
  const readdirWithLinks = (folder: string, options: { withFileTypes: true }, done: Listed) => {
    readdir(folder, options, (error, entries) => {
      if (error !== null && !isErrno(error, "ENOENT", "ENOTDIR")) unseen.push({ folder, error });
      done(null, error === null ? entries.map((entry) => resolved(folder, entry)) : []);
    });
  };
  const wanted = { onlyFiles: !folders, expandDirectories: !folders };
  const options = { cwd: weightsDir, followSymbolicLinks: false, ...wanted };
  const found = await glob(pattern, { ...options, fs: { readdir: readdirWithLinks as typeof readdir } });
  const [first] = unseen;
  if (found.length === 0 && first !== undefined) throw asSystemError("look into", first.folder, first.error);
  return found;
}

type Listed = (error: NodeJS.ErrnoException | null, entries: Dirent[]) => void;

function resolved(folder: string, entry: Dirent): Dirent {
  return entry.isSymbolicLink() && isFile(join(folder, entry.name)) ? asFile(entry) : entry;
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** An entry with the methods that the pattern library calls. */
function asFile({ name }: Dirent): Dirent {
  const kind = { isFile: () => true, isSymbolicLink: () => false, isDirectory: () => false };
  return { name, ...kind } as Dirent;
}
