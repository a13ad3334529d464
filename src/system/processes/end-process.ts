import { fstatSync } from "node:fs";
import { bunFfi } from "../libc/libc-bun.ts";

/**
 * Ends this process. When the runtime exits, it gives each terminal the modes that it found at its start, from the background,
 * too. A job that was started by `&` has found those of the shell's line editor, and would leave a terminal that shows nothing
 * of what is typed. So where there is a terminal, the process ends without the runtime: _exit(2).
 */
export function endProcess(exitCode: number): never {
  if (process.versions.bun !== undefined && [0, 1, 2].some(mayBeTerminal)) {
    bunFfi()
      .dlopen("libc.so.6", { _exit: { args: ["i32"], returns: "void" } })
      .symbols._exit(exitCode);
  }
  process.exit(exitCode);
}

/** Linux's major number of /dev/null, /dev/zero and the like: most batch jobs have one of them as input. */
const memoryDevices = 1;

function mayBeTerminal(fd: number): boolean {
  try {
    const stats = fstatSync(fd);
    return stats.isCharacterDevice() && ((stats.rdev >> 8) & 0xfff) !== memoryDevices;
  } catch {
    return false;
  }
}
