import { lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { randomHex } from "../random.ts";
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

export function makeScratch(folder: string): string {
  const scratch = join(folder, `${prefix}${randomHex(8)}`);
  mkdirSync(scratch);
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
