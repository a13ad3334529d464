import { type BigIntStats, fstatSync, lstatSync } from "node:fs";

export function sameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}

/** Whether `path` leads to the open file `fd`, a link there counting as another file. */
export function leadsTo(path: string, fd: number): boolean {
  const there = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return there !== undefined && sameFile(fstatSync(fd, { bigint: true }), there);
}
