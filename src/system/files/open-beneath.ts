import { closeSync, constants, existsSync, mkdirSync, openSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { EnvironmentError } from "../../model/errors.ts";
import { asSystemError, isErrno } from "../libc/errno.ts";
import { shownPath } from "./byte-names.ts";
import { nearestExisting } from "./nearest-existing.ts";
import { makeSharedFolder, ownerOf, shareFolder } from "./shared-permissions.ts";
import { outsideRoot } from "./within.ts";

/** A folder that is held open: what is swapped on the way to it afterwards changes nothing. */
export interface OpenedFolder {
  /** A path through the descriptor. */
  readonly path: string;
  close(): void;
  /** The same error with the path that people know in the place of the descriptor's. */
  named(error: unknown): unknown;
}

/** O_PATH of open(2): a folder on the way need not be readable. */
const pathOnly = 0o10000000;
const folder = pathOnly | constants.O_DIRECTORY;
const descriptors = "/proc/self/fd";

/**
 * Opens a folder below `root` step by step, each name in the folder that was opened before it, and follows no link: whoever
 * swaps a folder for a link meanwhile makes this fail, and leads it nowhere. Links that stay within the root are resolved
 * before. Throws an EnvironmentError for a folder outside, and what opening a folder throws, as ENOENT, or ENOTDIR for a link.
 */
export function openBeneath(root: string, path: string): OpenedFolder {
  // One whose name is no text is reached through a descriptor already.
  if (shownPath(path).bytes !== null || !existsSync(descriptors)) return byItsPath(path);
  return walkBeneath(root, path, openStep);
}

/** The same for a folder that is made where it is missing, with those above it, each as {@link makeSharedFolder} does. */
export function makeBeneath(root: string, path: string): OpenedFolder {
  if (existsSync(descriptors)) return walkBeneath(root, path, makeStep);
  makeSharedFolder(path);
  return byItsPath(path);
}

/** Opens `name` in the folder that is open as `fd`. `path`: as people know it. */
type Step = (fd: number, name: string, path: string) => number;

const openStep: Step = (fd, name) => openSync(`${descriptors}/${fd}/${name}`, folder | constants.O_NOFOLLOW);

const makeStep: Step = (fd, name, path) => {
  try {
    try {
      return openStep(fd, name, path);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    const isNew = makeIn(`${descriptors}/${fd}/${name}`);
    const made = openStep(fd, name, path);
    if (isNew) shareFolder(`${descriptors}/${made}`, `${descriptors}/${fd}`, path);
    return made;
  } catch (error) {
    throw asSystemError("make the folder", path, error, ownerOf(dirname(path)));
  }
};

/** False: somebody else was quicker. */
function makeIn(path: string): boolean {
  try {
    mkdirSync(path, 0o777);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

function walkBeneath(root: string, path: string, step: Step): OpenedFolder {
  const real = nearestExisting(path).leadsTo;
  const { top, opened: first } = openTop(root);
  const prefix = top === "/" ? "/" : `${top}/`;
  if (real !== top && !real.startsWith(prefix)) {
    closeSync(first);
    throw outsideRoot(root, path);
  }
  let fd = first;
  let reached = prefix;
  for (const name of real.slice(prefix.length).split("/")) {
    if (name === "") continue;
    reached = join(reached, name);
    let next: number;
    try {
      next = step(fd, name, reached);
    } finally {
      closeSync(fd);
    }
    fd = next;
  }
  const opened = fd;
  const own = `${descriptors}/${opened}`;
  return { path: own, close: () => closeSync(opened), named: (error) => withName(error, own, path) };
}

function openTop(root: string): { readonly top: string; readonly opened: number } {
  try {
    const top = realpathSync(root);
    return { top, opened: openSync(top, folder) };
  } catch (error) {
    throw asSystemError("use the folder", root, error);
  }
}

function byItsPath(path: string): OpenedFolder {
  return { path, close: () => undefined, named: (error) => error };
}

function withName(error: unknown, through: string, path: string): unknown {
  if (!(error instanceof EnvironmentError)) return error;
  const { code, hint } = error;
  return new EnvironmentError(error.message.replaceAll(through, path), {
    code,
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}
