import type { Ending } from "../system/processes/command-process.ts";

/**
 * The command's own exit code, or 128 and the number of its signal, as shells report it. The exit code of `run` itself, also
 * that of a lost lock, is decided by `settle` in cli/commands/run.ts.
 */
export function exitCodeOf(ending: Ending): number {
  return ending.kind === "exited" ? ending.code : 128 + ending.signal;
}
