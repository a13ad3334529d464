import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { runLogsFolder } from "../site/layout.ts";
import { contains } from "../system/files/mount-table.ts";
import { makeBeneath, makeHeldFolder } from "../system/files/open-beneath.ts";
import type { Bounds } from "../system/files/outside-root.ts";
import { createShared } from "../system/files/shared-permissions.ts";
import { asSystemError } from "../system/libc/errno.ts";

/** Where the output of one run goes: each claim has a number of its own. */
export function rowLogPath(weightsDir: string, generation: number): string {
  return join(weightsDir, runLogsFolder, `${generation}.log`);
}

/**
 * Opens a log for appending, its folders made. Anybody who can write the weights dir can plant a link there, or put one in the
 * place of a folder meanwhile: none leads out of the site. A path that the user names may lie anywhere else.
 */
export function openRowLog(site: Bounds, path: string): number {
  const folder = dirname(path);
  const opened = contains(site.root, folder) ? makeBeneath(site, folder) : makeHeldFolder(folder);
  try {
    const held = join(opened.path, basename(path));
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW;
    return createShared(held, flags | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    throw asSystemError("write the log", path, error);
  } finally {
    opened.close();
  }
}

const tailBytes = 16 * 1024;

/** The last lines of a log, as a terminal would show them: of a line that was overwritten (`\r`), what it ended as. */
export function lastLines(path: string, count: number): string[] {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return [];
  }
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, tailBytes));
    const read = readSync(fd, bytes, 0, bytes.length, Math.max(0, size - bytes.length));
    const lines = bytes.toString("utf8", 0, read).split("\n").map(withoutEscapes);
    return lines.filter((line) => line.trim() !== "").slice(-count);
  } catch {
    return [];
  } finally {
    closeSync(fd);
  }
}

function withoutEscapes(line: string): string {
  const shown = line.replace(/\r+$/, "").split("\r").pop() ?? "";
  return shown.replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, "");
}
