import { type BigIntStats, lstatSync } from "node:fs";

export function sameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.dev === b.dev;
}

/** Whether `path` leads to that file, a symbolic link there counting as another one. */
export function leadsTo(path: string, own: BigIntStats): boolean {
  const there = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return there !== undefined && sameFile(own, there);
}
