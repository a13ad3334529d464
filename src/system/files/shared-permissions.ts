import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { TrainlockError } from "../../model/errors.ts";
import { asSystemError, errnoOf, isErrno, systemError } from "../libc/errno.ts";
import { libc } from "../libc/libc.ts";
import { groupText, isMember } from "../processes/groups.ts";
import { listedUserName } from "../processes/this-host.ts";
import { onceAllowed, onceKnown, onceMade } from "./being-made.ts";
import { withoutUmask } from "./final-mode.ts";
import { nearestExisting } from "./nearest-existing.ts";

const setGroupId = 0o2000;
const permissionBits = 0o777;
/** All but the right of group and others to write. */
const ownersFolder = 0o7755;

export interface DeclaredPermissions {
  readonly gid: number | null;
  /** Permission bits of files; folders get an execute bit with every read bit. */
  readonly fileMode: number | null;
}

const declared = new Map<string, DeclaredPermissions>();

/** What a site wants everything below `top` to have, whatever folders and umasks say. */
export function declarePermissions(top: string, permissions: DeclaredPermissions): void {
  declared.set(top, permissions);
  const { real } = nearestExisting(top);
  if (real !== top) declared.set(real, permissions);
}

/** The group that a site wants what is made in `folder` to have; null: it says nothing of that. */
export function declaredGroup(folder: string): number | null {
  return declaredFor(`${folder}/any`)?.gid ?? null;
}

function declaredFor(asked: string): DeclaredPermissions | null {
  if (declared.size === 0) return null;
  // Through a descriptor it is known by where that leads.
  const path = asked.startsWith("/proc/self/fd/") ? nearestExisting(asked).leadsTo : asked;
  let best = "";
  for (const top of declared.keys()) if (path.startsWith(`${top}/`) && top.length > best.length) best = top;
  return declared.get(best) ?? null;
}

/**
 * What a new entry should allow: as much as its folder allows to group and others, the execute bits aside for files. The
 * folder says who works here together; the umask of the user who came first does not.
 */
function modeAsFolderAsks(folder: Stats, kind: "file" | "folder", fileMode: number | null): number {
  if (fileMode !== null && kind === "file") return fileMode;
  if (fileMode !== null) return fileMode | ((fileMode & 0o444) >> 2) | (folder.mode & setGroupId);
  const shared = folder.mode & 0o077;
  return kind === "folder" ? 0o700 | shared | (folder.mode & setGroupId) : 0o600 | (shared & 0o066);
}

/** A default ACL already made the kernel ignore the umask (acl(5)): a chmod after it would only narrow or widen its mask. */
function hasDefaultAcl(folder: string): boolean {
  return libc().getxattrLength(folder, "system.posix_acl_default") > 0;
}

/** What a new entry is to have. */
interface Asked {
  readonly mode: number;
  /** The first of them that can be given; none: whatever group the kernel gives it. */
  readonly gids: readonly number[];
  /** The mode to have where none of these groups could be given. */
  readonly modeOtherwise: number;
  /** The mode to make it with; what is missing is set afterwards. */
  readonly modeAtFirst: number;
  /** False: a default ACL decides. */
  readonly isSaid: boolean;
}

/** `known`: the path of the entry, as people know it or through a descriptor. */
function askedIn(folderPath: string, known: string, kind: "file" | "folder"): Asked {
  const folder = statSync(folderPath);
  const site = declaredFor(known);
  const mode = modeAsFolderAsks(folder, kind, site?.fileMode ?? null);
  const gids = groupsAsFolderAsks(folder, site);
  // Another group does not get what is meant for the folder's; what the site says holds for any.
  const modeOtherwise = site?.fileMode != null ? mode : mode & ~0o020;
  const isSaid = site?.fileMode != null || !hasDefaultAcl(folderPath);
  if (!isSaid) return { mode, modeOtherwise, gids, isSaid, modeAtFirst: kind === "file" ? 0o664 : 0o777 };
  const gidAtFirst = (folder.mode & setGroupId) === 0 ? process.getegid?.() : folder.gid;
  // Until it has its group, another group must not get that group's rights.
  const modeAtFirst = mode & (gids.length === 0 || gids[0] === gidAtFirst ? 0o777 : 0o755);
  return { mode, modeOtherwise, gids, isSaid, modeAtFirst };
}

/**
 * Opens a file, which is made with the mode and group its folder asks for: from its first moment on where that is possible.
 * Throws what open(2) throws.
 */
export function createShared(path: string, flags: number): number {
  return onceAllowed(path, () => {
    const asked = askedIn(dirname(path), path, "file");
    const fd = withoutUmask(() => openSync(path, flags | constants.O_CREAT, asked.modeAtFirst));
    giveFile(fd, asked);
    return fd;
  });
}

/** Gives a file that this process has just created the mode and group its folder asks for. Best effort: never throws. */
export function shareAsFolderAsks(fd: number, path: string): void {
  try {
    giveFile(fd, askedIn(dirname(path), path, "file"));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

function giveFile(fd: number, asked: Asked): void {
  try {
    const file = fstatSync(fd);
    // A log may be a device; and what has content was there before.
    if (!file.isFile() || file.size > 0) return;
    const mode = giveGroup(file.gid, asked, (gid) => fchownSync(fd, -1, gid));
    if ((file.mode & permissionBits) !== mode && asked.isSaid) fchmodSync(fd, mode);
  } catch (error) {
    // A file system without modes: the file works for its owner, which is what can be had.
    if (errnoOf(error) === undefined) throw error;
  }
}

/** Returns the mode to have with the group that could be given. `has`: the group that the kernel gave. */
function giveGroup(has: number, { gids, mode, modeOtherwise }: Asked, give: (gid: number) => void): number {
  for (const gid of gids) {
    if (has === gid) return mode;
    try {
      give(gid);
      return mode;
    } catch (error) {
      // Only a member can give a file to a group, chown(2).
      if (errnoOf(error) === undefined) throw error;
    }
  }
  return gids.length === 0 ? mode : modeOtherwise;
}

/** None: whatever group the kernel gives it. */
function groupsAsFolderAsks(folder: Stats, site: DeclaredPermissions | null): readonly number[] {
  const own = (folder.mode & 0o020) === 0 ? [] : [folder.gid];
  return site === null || site.gid === null ? own : [site.gid, ...own];
}

/** Whether this user can make entries in a folder, or make the folder where it is not there. Asked anew each time. */
export function canWriteIn(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return statSync(folder).isDirectory();
  } catch (error) {
    return isErrno(error, "ENOENT") && dirname(folder) !== folder && canWriteIn(dirname(folder));
  }
}

/** Makes a folder and the missing ones above it, each with the mode and group of the one it lies in. */
export function makeSharedFolder(path: string): void {
  onceKnown(() => makeFolders(path));
}

function makeFolders(path: string): void {
  const missing: string[] = [];
  let folder = path;
  while (onceMade(folder, () => makeOneFolder(folder)) === "nothing above") {
    missing.push(folder);
    folder = dirname(folder);
  }
  for (const below of missing.reverse()) {
    onceMade(below, () => {
      // /proc answers so for a folder that is there: one may be made nowhere in it.
      if (makeOneFolder(below) === "nothing above") {
        throw systemError("make the folder", below, "ENOENT", undefined, ownerOf(dirname(below)));
      }
    });
  }
}

/** The same for the folder of one user: others of the group read what is in it, and make nothing there. */
export function makeOwnFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  makeSharedFolder(path);
  chmodSync(path, statSync(path).mode & ownersFolder);
}

/**
 * What only its owner writes and the group of its folder reads, whatever the site says of other files. Best effort, as
 * {@link shareAsFolderAsks}.
 */
export function keepToOwner(fd: number, path: string): void {
  try {
    const [file, folder] = [fstatSync(fd), statSync(dirname(path))];
    fchmodSync(fd, file.mode & ownersFolder);
    if (file.gid !== folder.gid) fchownSync(fd, -1, folder.gid);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

function makeOneFolder(path: string): "made" | "nothing above" {
  try {
    if (!makeFolderIn(dirname(path), path, path)) requireFolder(path);
    return "made";
  } catch (error) {
    if (isErrno(error, "ENOENT") && !(error instanceof TrainlockError) && dirname(path) !== path)
      return "nothing above";
    throw asSystemError("make the folder", path, error, ownerOf(dirname(path)));
  }
}

/**
 * Makes a folder with the mode and group that `above` asks for. False: it is there already. Throws what mkdir(2) throws.
 * `known`: its path as people know it.
 */
export function makeFolderIn(above: string, path: string, known: string): boolean {
  const asked = askedIn(above, known, "folder");
  try {
    withoutUmask(() => mkdirSync(path, asked.modeAtFirst));
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
  giveFolder(path, asked);
  return true;
}

function requireFolder(path: string): void {
  try {
    if (statSync(path).isDirectory()) return;
  } catch (error) {
    // A link that leads nowhere is none; a name that is there and leads nowhere is a folder that is being made.
    if (!isErrno(error, "ENOENT")) throw asSystemError("use the folder", path, error);
    if (!isLink(path)) throw asSystemError("make the folder", path, error, ownerOf(dirname(path)));
  }
  throw systemError("make the folder", path, "ENOTDIR");
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function giveFolder(path: string, asked: Asked): void {
  try {
    const made = statSync(path);
    const mode = giveGroup(made.gid, asked, (gid) => chownSync(path, -1, gid));
    if ((made.mode & (permissionBits | setGroupId)) !== mode && asked.isSaid) chmodSync(path, mode);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

/** Owner, group and mode of a path in words, for messages about what may not be done there; undefined where nobody can tell. */
export function ownerOf(path: string): string | undefined {
  const stats = statOrNothing(path);
  if (stats === undefined) return undefined;
  const owner = listedUserName(stats.uid) ?? `uid ${stats.uid}`;
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, "0");
  return `${path} has owner ${owner}, ${groupText(stats.gid)}, mode ${mode}${whyNotOurs(path, stats)}`;
}

/** Why the group of a path does not let this user write there; nothing for who needs no group, or may write. */
function whyNotOurs(path: string, { uid, gid, mode }: Stats): string {
  const user = process.geteuid?.();
  if (user === undefined || user === 0 || user === uid) return "";
  if (isMember(gid)) return (mode & 0o020) === 0 ? ", which does not let its group write" : "";
  if ((mode & 0o002) !== 0) return "";
  const above = statOrNothing(dirname(path));
  const isFolders = above === undefined || above.gid === gid || !isMember(above.gid);
  return isFolders ? "; you are not in that group" : `; its folder has ${groupText(above.gid)}, and you are in that`;
}

function statOrNothing(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}
