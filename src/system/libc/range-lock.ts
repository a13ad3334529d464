import { constants } from "node:os";
import { errnoName, systemError } from "./errno.ts";
import { libc } from "./libc.ts";

/** F_OFD_SETLK of fcntl.h, the same number on every 64 bit Linux. */
const setLock = 37;
/** F_RDLCK, F_WRLCK and F_UNLCK. */
const types = { shared: 0, exclusive: 1, unlock: 2 } as const;

/** struct flock of 64 bit Linux for the whole file, l_pid 0 as fcntl_locking(2) asks for open file description locks. */
function wholeFile(type: number): Buffer {
  const lock = Buffer.alloc(32);
  lock.writeInt16LE(type, 0);
  return lock;
}

/**
 * Tries a byte-range lock of the open file description (fcntl_locking(2)) without waiting: it lives and dies like a
 * flock(2), and reaches other hosts where byte-range locks do. Neither kind sees the other.
 */
export function tryRangeLock(fd: number, path: string, kind: "shared" | "exclusive"): "locked" | "busy" {
  for (;;) {
    const result = libc().fcntl(fd, setLock, wholeFile(types[kind]));
    if (result >= 0) return "locked";
    if (-result === constants.errno.EWOULDBLOCK || -result === constants.errno.EACCES) return "busy";
    if (-result !== constants.errno.EINTR) throw systemError("lock", path, errnoName(-result));
  }
}

export function unlockRange(fd: number): void {
  libc().fcntl(fd, setLock, wholeFile(types.unlock));
}
