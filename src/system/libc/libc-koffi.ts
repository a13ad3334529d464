import { createRequire } from "node:module";
import {
  type Libc,
  openat2Number,
  openHow,
  renameat2Number,
  timespecMs,
  tmInts,
  workingDirectory,
} from "./libc-calls.ts";

/** ENOSYS of errno.h. */
const notThere = 38;

/** The library on Node. koffi ships its binaries inside npm packages, so nothing is compiled at installation. */
export function koffiLibc(): Libc {
  const require = createRequire(import.meta.url);
  const koffi: typeof import("koffi") = require("koffi");
  const { isMainThread }: typeof import("node:worker_threads") = require("node:worker_threads");
  const library = koffi.load("libc.so.6");
  const flock = library.func("int flock(int, int)");
  const fcntl = library.func("int fcntl(int, int, void *)");
  const fcntlValue = library.func("fcntl", "int", ["int", "int", "long"]);
  const syscall = library.func("long syscall(long, int, str, int, str, uint)");
  const openat2 = library.func("syscall", "long", ["long", "int", "str", "void *", "size_t"]);
  const getxattr = library.func("long getxattr(str, str, void *, size_t)");
  const clockGettime = library.func("int clock_gettime(int, void *)");
  const localtime = library.func("void *localtime_r(void *, void *)");
  const time = new BigInt64Array(2);
  const settle = (result: number): number => (result >= 0 ? Number(result) : -koffi.errno());
  return {
    flock: (fd, operation) => settle(flock(fd, operation)),
    fcntl: (fd, command, argument) => settle(fcntl(fd, command, argument)),
    fcntlValue: (fd, command, value) => settle(fcntlValue(fd, command, value)),
    renameat2: (from, to, flags) =>
      settle(syscall(renameat2Number, workingDirectory, from, workingDirectory, to, flags)),
    openBeneath: (fd, path, flags) => {
      // Of each worker thread Node knows what it has opened, and warns of every other descriptor that is closed there.
      if (!isMainThread) return -notThere;
      const how = openHow(flags);
      return settle(openat2(openat2Number, fd, path, how, how.byteLength));
    },
    getxattrLength: (path, name) => settle(getxattr(path, name, null, 0)),
    localTime: (seconds) => {
      const tm = new Int32Array(tmInts);
      return localtime(new BigInt64Array([BigInt(seconds)]), tm) === null ? null : tm;
    },
    clockMs: (clock) => {
      clockGettime(clock, time);
      return timespecMs(time);
    },
  };
}
