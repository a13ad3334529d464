import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { join, normalize, resolve } from "node:path";
import { asSystemError, isErrno } from "../libc/errno.ts";
import { listedUserName } from "../processes/this-host.ts";
import { type Bounds, outsideRoot, refusedLink } from "./outside-root.ts";

/** O_PATH of open(2): a folder on the way need not be readable. */
const pathOnly = 0o10000000;
export const folderFlags = pathOnly | constants.O_DIRECTORY;
export const descriptors = "/proc/self/fd";

/** A link below the root that leads into an allowed folder. */
export interface AllowedLink {
  readonly path: string;
  readonly uid: number;
  /** The allowed folder, as the site's file spells it. */
  readonly into: string;
  /** The names below that folder which the link leads through. */
  readonly through: readonly string[];
  /** The names of the path that come after the link. */
  readonly rest: readonly string[];
}

/** The first link on the way to a path, if it leads into an allowed folder; null: none does, whatever else is on the way. */
export function allowedLinkOn(bounds: Bounds, path: string): AllowedLink | null {
  const top = bounds.root === "/" ? "/" : `${bounds.root}/`;
  if (bounds.links.length === 0 || !path.startsWith(top)) return null;
  const names = path.slice(top.length).split("/");
  let fd = openSync(bounds.root, folderFlags);
  try {
    for (const [index, name] of names.entries()) {
      const here = `${descriptors}/${fd}/${name}`;
      const stats = lstatSync(here, { throwIfNoEntry: false });
      if (stats?.isSymbolicLink()) {
        const link = readLink(bounds, here, join(top, ...names.slice(0, index + 1)));
        return link && { ...link, rest: names.slice(index + 1) };
      }
      if (!stats?.isDirectory()) return null;
      const next = openSync(here, folderFlags | constants.O_NOFOLLOW);
      closeSync(fd);
      fd = next;
    }
    return null;
  } catch (error) {
    // What has vanished or was swapped meanwhile is no such link; what cannot be searched fails by itself later.
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES")) return null;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** `here`: the link in the folder that is held open. */
function readLink(bounds: Bounds, here: string, path: string): Omit<AllowedLink, "rest"> | null {
  const { ino, ctimeNs, uid } = lstatSync(here, { bigint: true });
  const target = resolve(realpathSync(join(here, "..")), readlinkSync(here));
  const after = lstatSync(here, { bigint: true });
  if (after.ino !== ino || after.ctimeNs !== ctimeNs || isBelow(realpathSync(bounds.root), target)) return null;
  for (const into of bounds.links) {
    for (const spelled of [into, realOf(into)]) {
      if (!isBelow(spelled, target)) continue;
      const through = target.slice(spelled.length).split("/");
      return { path, uid: Number(uid), into, through: through.filter((name) => name !== "") };
    }
  }
  return null;
}

function isBelow(folder: string, path: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function realOf(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return normalize(folder);
  }
}

/** The link on the way to a path whose folder is not there on this host; null: there is none. */
export function linkToNowhere(bounds: Bounds, path: string): AllowedLink | null {
  const link = allowedLinkOn(bounds, path);
  if (link === null) return null;
  try {
    statSync(link.path);
    return null;
  } catch (error) {
    return isErrno(error, "ENOENT", "ENOTDIR") ? link : null;
  }
}

/**
 * Opens the folder that a link leads to, beneath a descriptor of the allowed folder, and follows no further link. Throws an
 * EnvironmentError unless link and folders are of owners who may send this user there: root, the user, the root's owner, or
 * whoever owns both the link and the folder that it leads to.
 */
export function openLinked({ root }: Bounds, { path, uid, into, through }: AllowedLink): number {
  const trusted = [0, process.geteuid?.() ?? 0, statSync(root).uid];
  let fd = openSync(into, folderFlags);
  let reached = into;
  try {
    for (const name of through) {
      const next = openOne(fd, name, path, reached);
      closeSync(fd);
      fd = next;
      reached = join(reached, name);
      const owner = fstatSync(fd).uid;
      if (owner !== uid && !trusted.includes(owner)) throw refusedLink(path, `${reached} is ${userName(owner)}'s`);
    }
    const owner = fstatSync(fd).uid;
    if (!trusted.includes(uid) && owner !== uid)
      throw refusedLink(path, `it is ${userName(uid)}'s, and leads to ${reached} of ${userName(owner)}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openOne(fd: number, name: string, link: string, reached: string): number {
  try {
    return openSync(`${descriptors}/${fd}/${name}`, folderFlags | constants.O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOTDIR", "ELOOP")) throw refusedLink(link, `${name} on its way is no folder, or another link`);
    throw asSystemError("follow the link", link, error, `it leads through ${reached}`);
  }
}

/** Throws where a path leads neither through an allowed link nor where it may. */
export function requireAllowed(bounds: Bounds, path: string, leadsTo: string): void {
  const link = allowedLinkOn(bounds, path);
  if (link === null || leadsTo !== join(realOf(link.into), ...link.through, ...link.rest))
    throw outsideRoot(bounds.root, path);
  closeSync(openLinked(bounds, link));
}

function userName(uid: number): string {
  return listedUserName(uid) ?? `uid ${uid}`;
}
