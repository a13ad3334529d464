import { type BigIntStats, constants, fstatSync, lstatSync, openSync, readdirSync, readSync } from "node:fs";
import { dirname } from "node:path";
import { lazily } from "../../model/lazily.ts";
import { errnoOf, isErrno } from "../libc/errno.ts";
import { closeRead } from "./close-read.ts";

export type FileReading =
  | { readonly kind: "absent" }
  /** Something else than a regular file stands there: `why` says what. */
  | { readonly kind: "unreadable"; readonly why: string; readonly stats: BigIntStats | null }
  /** It is not known what is there: a fault of the file system, or of the permissions. */
  | { readonly kind: "failed"; readonly why: string; readonly error: unknown; readonly opened: boolean }
  | { readonly kind: "file"; readonly bytes: Buffer; readonly stats: BigIntStats };

const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/** A file that was removed on its server while it was opened, locked or read is looked for again, so many times. */
export const mostStaleFiles = 3;

interface ReadOptions {
  /** For open(2), besides those of any reading. */
  readonly extraFlags?: number;
  readonly whileOpen?: WhileOpen | undefined;
}

/**
 * What else is asked of the open file once it is read. What this throws is a fault of the reading: after ESTALE it is looked for
 * again.
 */
export type WhileOpen = (fd: number, file: Extract<FileReading, { kind: "file" }>) => void;

/**
 * Reads at most `limit` bytes and one more, so that a longer file shows. Follows no link, waits for no FIFO, opens no device,
 * and reads nothing but a regular file: anybody who can write the folder can plant anything under the name.
 */
export function readRegularFile(path: string, limit: number, options: ReadOptions = {}): FileReading {
  for (let stale = 0; ; stale += 1) {
    const { file, isStale } = readOnce(path, limit, options);
    if (!isStale || stale === mostStaleFiles) return file;
    lookAnew(dirname(path));
  }
}

/** Loaded for reading over a network: no other call should pay for it. */
const calls = lazily(() => import("node:fs/promises"));

/** The same, while other calls wait for the file server, too. */
export async function readRegularFileSoon(
  path: string,
  limit: number,
  options: ReadOptions = {},
): Promise<FileReading> {
  const { extraFlags = 0, whileOpen } = options;
  try {
    const { lstat, open } = await calls();
    if ((await lstat(path)).isFile()) {
      const file = await open(path, readFlags | extraFlags);
      try {
        const stats = await file.stat({ bigint: true });
        const size = Number(stats.size);
        // In whole pages, which O_DIRECT may ask for, and with room for one byte more.
        const bytes = Buffer.alloc((Math.floor(Math.min(size, limit) / 4096) + 1) * 4096);
        const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
        if (stats.isFile() && bytesRead === size) {
          const found = { kind: "file", bytes: bytes.subarray(0, Math.min(size, limit + 1)), stats } as const;
          whileOpen?.(file.fd, found);
          return found;
        }
      } finally {
        await file.close();
      }
    }
  } catch {
    // The look that follows says what is wrong with it.
  }
  return readRegularFile(path, limit, options);
}

/** For a second, clients of GlusterFS go on opening what had the name before, unless the folder is listed. */
function lookAnew(folder: string): void {
  try {
    readdirSync(folder);
  } catch {
    // The next look at the file tells.
  }
}

function readOnce(
  path: string,
  limit: number,
  { extraFlags = 0, whileOpen }: ReadOptions,
): { readonly file: FileReading; readonly isStale: boolean } {
  const opening = openRegularFile(path, extraFlags);
  if (opening.kind !== "opened") return { file: opening, isStale: isStale(opening) };
  const { fd, stats } = opening;
  let file: FileReading;
  try {
    file = { kind: "file", bytes: readUpTo(fd, limit + 1, Number(stats.size)), stats };
    whileOpen?.(fd, file);
  } catch (error) {
    file = failed(error, true);
  }
  // What was read before another replaced it counts, if there is no newer one to be seen.
  return { file, isStale: !closeRead(fd) || isStale(file) };
}

/** GlusterFS opens late: that what it has opened is gone may show at the first read alone. */
function isStale(file: FileReading): boolean {
  if (file.kind !== "failed") return false;
  return isErrno(file.error, "ESTALE") || (file.opened && isErrno(file.error, "ENOENT"));
}

type FileOpening =
  | Exclude<FileReading, { kind: "file" }>
  | { readonly kind: "opened"; readonly fd: number; readonly stats: BigIntStats };

/** The same up to the first read; the caller closes what was opened. */
export function openRegularFile(path: string, extraFlags = 0): FileOpening {
  const special = specialFileAt(path);
  if (special !== null) return { kind: "unreadable", why: "not a regular file", stats: special };
  let fd: number;
  try {
    fd = openSync(path, readFlags | extraFlags);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return { kind: "absent" };
    if (isErrno(error, "ELOOP")) return { kind: "unreadable", why: "a symbolic link", stats: null };
    if (isErrno(error, "ENXIO")) return { kind: "unreadable", why: "not a regular file", stats: null };
    return failed(error, false);
  }
  try {
    const stats = fstatSync(fd, { bigint: true });
    if (stats.isFile()) return { kind: "opened", fd, stats };
    closeRead(fd);
    return { kind: "unreadable", why: stats.isDirectory() ? "a folder" : "not a regular file", stats };
  } catch (error) {
    closeRead(fd);
    return failed(error, true);
  }
}

/**
 * A device, FIFO or socket: to open some of them does something already, and to open a FIFO wakes who waits at its other end.
 * Null for anything else, and where it cannot be known: the open that follows tells.
 */
export function specialFileAt(path: string): BigIntStats | null {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined || stats.isFile() || stats.isDirectory() || stats.isSymbolicLink()) return null;
    return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}

function failed(error: unknown, opened: boolean): Extract<FileReading, { kind: "failed" }> {
  return { kind: "failed", why: `not readable (${errnoOf(error) ?? String(error)})`, error, opened };
}

/** Listings read ten thousand small files: one buffer for all of them. Nothing waits while it is in use. */
const scratch = Buffer.alloc(16 * 1024);

/** The first `limit` bytes of an open file, or fewer where it ends before. `size`: how large it is thought to be. */
export function readUpTo(fd: number, limit: number, size = 0): Buffer {
  const pieces: Buffer[] = [];
  let collected = 0;
  if (size > scratch.length) {
    // One piece, and one byte more: else its end would be looked for by another.
    const whole = Buffer.allocUnsafe(Math.min(limit, size + 1));
    for (let read = -1; read !== 0 && collected < whole.length; collected += read)
      read = readSync(fd, whole, collected, whole.length - collected, collected);
    if (collected < whole.length) return whole.subarray(0, collected);
    pieces.push(whole);
  }
  while (collected < limit) {
    const read = readSync(fd, scratch, 0, Math.min(scratch.length, limit - collected), collected);
    if (read === 0) break;
    pieces.push(Buffer.from(scratch.subarray(0, read)));
    collected += read;
    // As much as it had when it was opened is all of it: to ask for its end would be a call more for each of ten thousand.
    if (collected === size) break;
  }
  const [first] = pieces;
  return pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces);
}
