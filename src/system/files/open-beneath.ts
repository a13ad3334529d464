import { closeSync, constants, openSync, realpathSync } from "node:fs";
import { shownPath } from "./byte-names.ts";
import { outsideRoot } from "./within.ts";

/** A folder that is held open: what is swapped on the way to it afterwards changes nothing. */
export interface OpenedFolder {
  /** A path through the descriptor. */
  readonly path: string;
  close(): void;
}

const folder = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * Opens a folder below `root` step by step, each name in the folder that was opened before it, and follows no link: whoever
 * swaps a folder for a link meanwhile makes this fail, and leads it nowhere. Links that stay within the root are resolved
 * before. Throws an EnvironmentError for a folder outside, and what opening a folder throws, as ELOOP or ENOTDIR for a link.
 */
export function openBeneath(root: string, path: string): OpenedFolder {
  // One whose name is no text is reached through a descriptor already.
  if (shownPath(path).bytes !== null) return { path, close: () => undefined };
  const top = realpathSync(root);
  const real = realpathSync(path);
  const prefix = top === "/" ? "/" : `${top}/`;
  if (!real.startsWith(prefix)) throw outsideRoot(root, path);
  let fd = openSync(top, folder);
  for (const name of real.slice(prefix.length).split("/")) {
    let next: number;
    try {
      next = openSync(`/proc/self/fd/${fd}/${name}`, folder | constants.O_NOFOLLOW);
    } finally {
      closeSync(fd);
    }
    fd = next;
  }
  const opened = fd;
  return { path: `/proc/self/fd/${opened}`, close: () => closeSync(opened) };
}
