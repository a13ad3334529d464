import { readSync } from "node:fs";
import { closeRead } from "./close-read.ts";
import { openRegularFile } from "./read-regular-file.ts";

export interface FileEnds {
  /** The first bytes of the file, at most half of the limit. */
  readonly start: Buffer;
  /** The last ones, up to the limit. */
  readonly end: Buffer;
  readonly bytes: number;
  readonly modifiedMs: number;
}

/**
 * Both ends of a regular file, `limit` bytes in all; of a file that is not larger, all of it at either end. Null where there is
 * none that can be read. Follows no link and waits for nothing, as readRegularFile.
 */
export function readEnds(path: string, limit: number): FileEnds | null {
  const opening = openRegularFile(path);
  if (opening.kind !== "opened") return null;
  const { fd, stats } = opening;
  try {
    const bytes = Number(stats.size);
    const modifiedMs = Number(stats.mtimeMs);
    if (bytes <= limit) {
      const all = readAt(fd, 0, limit);
      return { start: all, end: all, bytes, modifiedMs };
    }
    const share = Math.floor(limit / 8);
    return { start: readAt(fd, 0, share), end: readAt(fd, bytes - (limit - share), limit - share), bytes, modifiedMs };
  } catch {
    return null;
  } finally {
    closeRead(fd);
  }
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const read = readSync(fd, buffer, filled, length - filled, position + filled);
    if (read === 0) break;
    filled += read;
  }
  return buffer.subarray(0, filled);
}
