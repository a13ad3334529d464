import { lstatSync, realpathSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isErrno } from "../libc/errno.ts";

export interface NearestExisting {
  /** The path itself, or the nearest folder above it that can be reached. */
  readonly path: string;
  /** The same with links followed. */
  readonly real: string;
  /** Where the whole path leads, or would lead once what is missing is made: `real` and the rest. */
  readonly leadsTo: string;
}

/** Walks up from a path to what is there. Never throws: a part that cannot be followed counts as missing. */
export function nearestExisting(path: string): NearestExisting {
  const whole = resolve(path);
  for (let existing = whole; ; existing = dirname(existing)) {
    try {
      const real = realpathSync(existing);
      const rest = whole.slice(existing === "/" ? 1 : existing.length + 1);
      return { path: existing, real, leadsTo: rest === "" ? real : `${real === "/" ? "" : real}/${rest}` };
    } catch {
      if (existing === "/") return { path: "/", real: "/", leadsTo: whole };
    }
  }
}

/** What keeps a folder from being there, or from being made. */
export interface InTheWay {
  readonly path: string;
  /** Else it is a file. */
  readonly isLink: boolean;
}

/** Looks on the way to a folder for a file, and for a link that leads nowhere on this host. Null: neither, or nobody may look. */
export function inTheWayOf(folder: string): InTheWay | null {
  for (let path = resolve(folder); path !== "/"; path = dirname(path)) {
    try {
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found === undefined) continue;
      const behind = statSync(path, { throwIfNoEntry: false });
      return behind?.isDirectory() ? null : { path, isLink: behind === undefined };
    } catch (error) {
      if (isErrno(error, "ENOTDIR")) continue;
      return isErrno(error, "ELOOP") ? { path, isLink: true } : null;
    }
  }
  return null;
}
