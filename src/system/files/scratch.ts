import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, systemError } from "../libc/errno.ts";
import { randomHex } from "../random.ts";
import { makeSharedFolder, ownerOf } from "./shared-permissions.ts";
import { abandonedAfterMs } from "./write-by-rename.ts";

const prefix = ".trainlock-doctor-";

/** A folder for one probe, gone when it is done. */
export async function withScratch<T>(folder: string, use: (scratch: string) => T | Promise<T>): Promise<T> {
  const scratch = makeScratch(folder);
  try {
    return await use(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** What is made in it then has mode and group as beside it. */
export function makeScratch(folder: string): string {
  const scratch = join(folder, `${prefix}${randomHex(8)}`);
  try {
    makeSharedFolder(scratch);
  } catch (error) {
    // The folder is meant: each probe makes one of another name, and says the same of it.
    const errno = errnoOf(error);
    throw errno === undefined ? error : systemError("make a folder in", folder, errno, error, ownerOf(folder));
  }
  return scratch;
}

export function isScratch(name: string): boolean {
  return name.startsWith(prefix);
}

/** Removes what killed probes of this user have left; younger ones may be at work. `nowMs`: by the file server's clock. */
export function sweepScratches(folder: string, nowMs: number): void {
  for (const name of readdirSync(folder).filter(isScratch)) {
    const path = join(folder, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    const isOwn = stats?.isDirectory() === true && stats.uid === process.geteuid?.();
    if (isOwn && nowMs - stats.mtimeMs > abandonedAfterMs) rmSync(path, { recursive: true, force: true });
  }
}
