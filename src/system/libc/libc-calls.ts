/** The calls that neither Node nor Bun offers. Each returns 0 (or a value) on success and a negative errno on failure. */
export interface Libc {
  /** flock(2). */
  flock(fd: number, operation: number): number;
  /** fcntl(2) with a structure that it reads. */
  fcntl(fd: number, command: number, argument: Uint8Array): number;
  /** fcntl(2) with a number. */
  fcntlValue(fd: number, command: number, value: number): number;
  /** renameat2(2) with both paths relative to the working directory. */
  renameat2(from: string, to: string, flags: number): number;
  /** openat2(2) of a path below an open folder, through no link and never out of it: RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS. */
  openBeneath(fd: number, path: string, flags: number): number;
  /** Length of an extended attribute, getxattr(2) with size 0. */
  getxattrLength(path: string, name: string): number;
  /** localtime_r(3): seconds, minutes, hours, day, month from 0, years since 1900, as in a struct tm; null: no such time. */
  localTime(secondsSinceEpoch: number): Int32Array | null;
  /** clock_gettime(2), milliseconds. */
  clockMs(clock: number): number;
}

/** Number of renameat2 in the system call table: glibc has a wrapper only since 2.28. */
export const renameat2Number = process.arch === "arm64" ? 276 : 316;
/** The same on all processors; glibc has no wrapper. */
export const openat2Number = 437;
const resolveBeneath = 0x08;
const resolveNoSymlinks = 0x04;

/** A struct open_how of openat2(2). */
export function openHow(flags: number): BigUint64Array {
  return new BigUint64Array([BigInt(flags), 0n, BigInt(resolveBeneath | resolveNoSymlinks)]);
}

/** AT_FDCWD of fcntl.h. */
export const workingDirectory = -100;

/** Room for a struct tm: nine ints, the offset and the name of the zone. */
export const tmInts = 14;

/** A struct timespec in milliseconds. */
export function timespecMs(time: BigInt64Array): number {
  return Number(time[0] ?? 0n) * 1000 + Number(time[1] ?? 0n) / 1e6;
}
