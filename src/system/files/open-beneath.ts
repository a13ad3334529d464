import { closeSync, constants, existsSync, openSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { EnvironmentError } from "../../model/errors.ts";
import { asSystemError, isErrno } from "../libc/errno.ts";
import { libc } from "../libc/libc.ts";
import { allowedLinkOn, descriptors, folderFlags as folder, openLinked } from "./allowed-links.ts";
import { onceAllowed, onceKnown, onceMade } from "./being-made.ts";
import { shownPath } from "./byte-names.ts";
import { contains } from "./mount-table.ts";
import { nearestExisting } from "./nearest-existing.ts";
import { type Bounds, outsideRoot } from "./outside-root.ts";
import { makeFolderIn, makeSharedFolder, ownerOf } from "./shared-permissions.ts";

/** O_CLOEXEC of open(2), which the runtime adds by itself to what it opens. */
const closeOnExec = 0o2000000;

/** A folder that is held open: what is swapped on the way to it afterwards changes nothing. */
export interface OpenedFolder {
  /** A path through the descriptor. */
  readonly path: string;
  close(): void;
  /** The same error with the path that people know in the place of the descriptor's. */
  named(error: unknown): unknown;
}

/**
 * Opens a folder below the root step by step: each name in the folder that was opened before it. It follows a link only into
 * a folder that the site allows. If somebody swaps a folder for a link meanwhile, this fails, and leads nowhere. Links that
 * stay within the root are resolved before. Throws an EnvironmentError for a folder outside, and what opening a folder
 * throws, as ENOENT, or ENOTDIR for a link.
 */
export function openBeneath(bounds: Bounds, path: string): OpenedFolder {
  // One whose name is no text is reached through a descriptor already.
  if (shownPath(path).bytes !== null || !existsSync(descriptors)) return byItsPath(path);
  return onceKnown(() => openAtOnce(bounds, path) ?? walkBeneath(bounds, path, openStep));
}

/** The same for a folder that is made where it is missing, with those above it, each as {@link makeSharedFolder} does. */
export function makeBeneath(bounds: Bounds, path: string): OpenedFolder {
  if (existsSync(descriptors)) return onceKnown(() => openAtOnce(bounds, path) ?? walkBeneath(bounds, path, makeStep));
  makeSharedFolder(path);
  return byItsPath(path);
}

/**
 * By one call, which takes 5 µs where the steps take 70. Null where it fails: kernels before 5.6 do not have it, containers may
 * forbid it, a link may be on the way, or a folder missing. The steps tell which.
 */
function openAtOnce({ root }: Bounds, path: string): OpenedFolder | null {
  const prefix = root === "/" ? "/" : `${root}/`;
  if (!path.startsWith(prefix)) return null;
  const { opened: top } = openTop(root);
  const opened = libc().openBeneath(top, path.slice(prefix.length), folder | closeOnExec);
  closeSync(top);
  return opened < 0 ? null : openedFolder(opened, path);
}

/** Opens `name` in the folder that is open as `fd`. `path`: as people know it. */
type Step = (fd: number, name: string, path: string) => number;

const openStep: Step = (fd, name) => {
  const held = `${descriptors}/${fd}/${name}`;
  return onceAllowed(held, () => openSync(held, folder | constants.O_NOFOLLOW));
};

const makeStep: Step = (fd, name, path) => {
  try {
    try {
      return openStep(fd, name, path);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    return onceMade(`${descriptors}/${fd}/${name}`, () => {
      makeFolderIn(`${descriptors}/${fd}`, `${descriptors}/${fd}/${name}`, path);
      return openStep(fd, name, path);
    });
  } catch (error) {
    throw asSystemError("make the folder", path, error, ownerOf(dirname(path)));
  }
};

/**
 * Makes a folder where it is missing, and holds it open. A link that was put in its place and leads elsewhere is not followed. A
 * declared root is not made: it was there, and may come back as it was.
 */
export function makeHeldFolder(folder: string): OpenedFolder {
  const declared = declaredBoundsOf(folder);
  if (declared !== null) return makeBeneath(declared, folder);
  const bounds = boundsOf(folder);
  makeSharedFolder(bounds.root);
  return makeBeneath(bounds, folder);
}

/** Calls `work` with the path of a file, while the file's folder is held open and is no link. */
export function inHeldFolder<T>(path: string, work: (held: string) => T): T {
  const folder = dirname(path);
  return beneath(boundsOf(folder), folder, (held) => work(join(held, basename(path))));
}

const rootsOf = new Map<string, string>();

/** Says from which folder on nobody is trusted with the way to a folder and to what is below it: that of a site's lock dir. */
export function declareRootOf(folder: string, root: string): void {
  rootsOf.set(folder, root);
}

/**
 * The bounds of a folder beside which nobody is trusted: who may write in its parent may swap it for a link. The path of `trusted`
 * is, unless one further up was declared.
 */
export function boundsOf(folder: string, trusted: string = dirname(folder)): Bounds {
  return declaredBoundsOf(folder) ?? { root: trusted, links: [] };
}

function declaredBoundsOf(folder: string): Bounds | null {
  for (const [top, root] of rootsOf) if (contains(top, folder)) return { root, links: [] };
  return null;
}

/** Does something in a folder that is held open for that; errors name it as people know it. */
export function beneath<T>(bounds: Bounds, path: string, work: (folder: string) => T): T {
  const opened = openBeneath(bounds, path);
  try {
    return work(opened.path);
  } catch (error) {
    throw opened.named(error);
  } finally {
    opened.close();
  }
}

function walkBeneath(bounds: Bounds, path: string, step: Step): OpenedFolder {
  const { leadsTo } = nearestExisting(path);
  const { top, opened: first } = openTop(bounds.root);
  const prefix = top === "/" ? "/" : `${top}/`;
  if (contains(top, leadsTo)) {
    return openedFolder(walk(first, prefix, leadsTo.slice(prefix.length).split("/"), step), path);
  }
  closeSync(first);
  const link = allowedLinkOn(bounds, path);
  if (link === null) throw outsideRoot(bounds.root, path);
  return openedFolder(walk(openLinked(bounds, link), link.path, link.rest, step), path);
}

/** Closes the folder where it starts, `reached` as people know it. */
function walk(start: number, reached: string, names: readonly string[], step: Step): number {
  let fd = start;
  let path = reached;
  for (const name of names) {
    if (name === "") continue;
    path = join(path, name);
    let next: number;
    try {
      next = step(fd, name, path);
    } finally {
      closeSync(fd);
    }
    fd = next;
  }
  return fd;
}

/** The way to a folder for a program that opens it by itself: from `root` on, each name in the folder before, and no link. */
export interface Way {
  readonly folder: string;
  readonly root: string;
  readonly names: readonly string[];
}

/** Of a folder below the root. A link that leads out of bounds just now is on that way, too: to open it fails. */
export function wayTo(bounds: Bounds, folder: string): Way {
  const { leadsTo } = nearestExisting(folder);
  const top = realpathSync(bounds.root);
  if (contains(top, leadsTo)) return { folder, root: top, names: namesOf(leadsTo.slice(top.length)) };
  const link = allowedLinkOn(bounds, folder);
  if (link === null) return { folder, root: top, names: namesOf(folder.slice(bounds.root.length)) };
  return { folder, root: link.into, names: [...link.through, ...link.rest] };
}

function namesOf(path: string): readonly string[] {
  return path.split("/").filter((name) => name !== "");
}

function openedFolder(opened: number, path: string): OpenedFolder {
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
