import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { randomHex } from "../system/random.ts";

const prefix = ".trainlock-doctor-";
/** What a killed probe left behind; younger ones may be at work. */
const leftAfterMs = 3_600_000;

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

/** Removes what earlier calls had to leave. */
export function sweepScratches(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(prefix)) continue;
    const path = join(folder, name);
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats !== undefined && Date.now() - stats.mtimeMs > leftAfterMs) rmSync(path, { recursive: true, force: true });
  }
}
