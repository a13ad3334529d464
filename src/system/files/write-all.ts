import { writeSync } from "node:fs";

/**
 * Writes all of it, in one call where the file system takes it. A full disk, a quota and a limit of file sizes may take a part
 * (write(2)): only the next call says which of them it was. Throws what that call throws.
 */
export function writeAll(fd: number, content: Uint8Array, position: number | null = null): void {
  let done = 0;
  while (done < content.length) {
    const at = position === null ? null : position + done;
    const written = writeSync(fd, content, done, content.length - done, at);
    if (written === 0) throw Object.assign(new Error("ENOSPC: nothing could be written"), { code: "ENOSPC" });
    done += written;
  }
}
