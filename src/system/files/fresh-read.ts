import { constants, openSync } from "node:fs";
import { dirname } from "node:path";
import { isErrno } from "../libc/errno.ts";
import { closeRead } from "./close-read.ts";
import { mountOf } from "./mounts.ts";

/** Clients of GlusterFS go on giving out what another host has overwritten, when all else about the file looks the same. */
const forgetful = new Set(["fuse.glusterfs"]);

let known: { readonly folder: string; readonly flag: number } | undefined;

/** What open(2) needs besides, so that reading a file of many hosts' writing asks the server: O_DIRECT, or nothing. */
export function freshFlag(path: string): number {
  const folder = dirname(path);
  if (known?.folder !== folder) {
    const flag = forgetful.has(mountOf(folder).fileSystem) ? constants.O_DIRECT : 0;
    known = { folder, flag };
  }
  return known.flag;
}

/** Reads from an open file what the server has now, whatever this host's caches hold. */
export function readFresh<T>(fd: number, path: string, read: (fd: number) => T): T {
  const flag = freshFlag(path);
  if (flag === 0) return read(fd);
  let fresh: number;
  try {
    // By this name it is the very file that is open, whatever has become of its path.
    fresh = openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY | flag);
  } catch (error) {
    if (isErrno(error, "EINVAL", "ENOENT", "EACCES")) return read(fd);
    throw error;
  }
  try {
    return read(fresh);
  } finally {
    closeRead(fresh);
  }
}
