import { closeSync, constants, fstatSync, openSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { randomHex } from "../random.ts";

/** The name of a file that is made for its time alone. Should its maker die, it is swept with the lock dir. */
export const timeFileName = /^\.[0-9a-f]{16}\.tmp$/;

/** The same where it can be known, else this host's. */
export function fileServerNowOr(folder: string): number {
  try {
    return fileServerNow(folder);
  } catch {
    return Date.now();
  }
}

/**
 * The file server's time, from a file that is made now, in milliseconds since the epoch. Hosts' clocks differ. Throws what the
 * file system does where nothing can be made.
 */
export function fileServerNow(folder: string): number {
  const path = join(folder, `.${randomHex(8)}.tmp`);
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    return fstatSync(fd).mtimeMs;
  } finally {
    closeSync(fd);
    unlinkSync(path);
  }
}
