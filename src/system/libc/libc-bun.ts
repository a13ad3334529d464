import { createRequire } from "node:module";
import { EnvironmentError } from "../../model/errors.ts";
import {
  type Libc,
  openat2Number,
  openHow,
  renameat2Number,
  timespecMs,
  tmInts,
  workingDirectory,
} from "./libc-calls.ts";

let ffi: typeof import("bun:ffi") | undefined;

/** Bun's own module, required at run time so that Node never looks for it. */
export function bunFfi(): typeof import("bun:ffi") {
  ffi ??= createRequire(import.meta.url)("bun:ffi") as typeof import("bun:ffi");
  return ffi;
}

type Functions = Parameters<typeof import("bun:ffi")["dlopen"]>[1];

/**
 * Functions of the C library. The runtime calls them by machine code that it makes in memory. Throws an EnvironmentError where a
 * process may not make any: systemd's MemoryDenyWriteExecute, SELinux, seccomp.
 */
export function openLibc<Wanted extends Record<keyof Wanted, Functions[string]>>(wanted: Wanted) {
  try {
    return bunFfi().dlopen<Wanted>("libc.so.6", wanted);
  } catch (cause) {
    throw new EnvironmentError("this process may not make machine code in memory, which every lock needs", {
      code: "ERR_NO_MACHINE_CODE",
      hint: "allow it: MemoryDenyWriteExecute= of systemd, execmem of SELinux, or the sandbox that it runs in",
      cause,
    });
  }
}

/** For a command that always needs it and runs in Bun alone: to import the module takes a quarter of the time. */
export function provideBunFfi(imported: typeof import("bun:ffi")): void {
  ffi = imported;
}

export function bunLibc(): Libc {
  const ffi = bunFfi();
  const { symbols } = openLibc({
    flock: { args: ["i32", "i32"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "ptr"], returns: "i32" },
    // Of the calls that are made by number some have a pointer as third argument, and some a length as fourth.
    syscall: { args: ["i64", "i32", "ptr", "i64", "i64", "u32"], returns: "i64" },
    getxattr: { args: ["ptr", "ptr", "ptr", "u64"], returns: "i64" },
    clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
    localtime_r: { args: ["ptr", "ptr"], returns: "ptr" },
    __errno_location: { args: [], returns: "ptr" },
  });
  const time = new BigInt64Array(2);
  const text = (value: string) => ffi.ptr(Buffer.from(`${value}\0`));
  const settle = (result: number | bigint): number => {
    if (result >= 0) return Number(result);
    const location = symbols.__errno_location();
    return location === null ? -5 : -ffi.read.i32(location, 0);
  };
  return {
    flock: (fd, operation) => settle(symbols.flock(fd, operation)),
    fcntl: (fd, command, argument) => settle(symbols.fcntl(fd, command, ffi.ptr(argument))),
    // The third argument is a word, whatever it means.
    fcntlValue: (fd, command, value) =>
      settle(symbols.fcntl(fd, command, value as Parameters<typeof symbols.fcntl>[2])),
    renameat2: (from, to, flags) =>
      settle(symbols.syscall(renameat2Number, workingDirectory, text(from), workingDirectory, text(to), flags)),
    openBeneath: (fd, path, flags) => {
      const how = openHow(flags);
      return settle(symbols.syscall(openat2Number, fd, text(path), ffi.ptr(how), how.byteLength, 0));
    },
    getxattrLength: (path, name) => settle(symbols.getxattr(text(path), text(name), null, 0)),
    localTime: (seconds) => {
      const [since, tm] = [new BigInt64Array([BigInt(seconds)]), new Int32Array(tmInts)];
      return symbols.localtime_r(ffi.ptr(since), ffi.ptr(tm)) === null ? null : tm;
    },
    clockMs: (clock) => {
      symbols.clock_gettime(clock, ffi.ptr(time));
      return timespecMs(time);
    },
  };
}
