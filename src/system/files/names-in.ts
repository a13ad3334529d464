import { readdirSync } from "node:fs";
import { isErrno } from "../libc/errno.ts";

/** The names in a folder; null where there is no such folder. Throws for one that cannot be read. */
export function namesIn(folder: string): string[] | null {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
}
