import { type BigIntStats, statSync } from "node:fs";
import { asSystemError } from "../libc/errno.ts";

/** stat(2) of a folder; undefined: it is not there. Throws an EnvironmentError that names it for any other reason. */
export function folderStats(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    throw asSystemError("look at the folder", path, error);
  }
}
