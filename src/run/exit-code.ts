import { constants } from "node:os";
import type { Ending } from "../system/processes/command-process.ts";

/** As shells report an ending: the command's own code, or 128 and the number of the signal. */
export function exitCodeOf(ending: Ending): number {
  return ending.kind === "exited" ? ending.code : 128 + ending.signal;
}

/** Whether a failed start means that there is no such command (127), or one that cannot be executed (126). */
export function isNotFound(errno: number): boolean {
  return errno === constants.errno.ENOENT;
}
