import { closeSync } from "node:fs";
import { isErrno } from "../libc/errno.ts";

/**
 * Closes a file that was only read; false: its server no longer knows it. GlusterFS opens late, and says so at close(2) alone
 * where what was read came from a cache. The descriptor is free either way.
 */
export function closeRead(fd: number): boolean {
  try {
    closeSync(fd);
    return true;
  } catch (error) {
    if (isErrno(error, "ESTALE", "ENOENT")) return false;
    throw error;
  }
}
