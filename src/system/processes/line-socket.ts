import { constants } from "node:os";
import { bunFfi } from "../libc/libc-bun.ts";

/** A line of a socket, and the descriptor that came with it: both ends then have the same open file. */
export interface ReceivedLine {
  readonly line: string;
  readonly fd: number | null;
}

/** MSG_CMSG_CLOEXEC of recvmsg(2). */
const closeOnExec = 0x4000_0000;
const mostBytesAtOnce = 64 * 1024;
const largestLineBytes = 1024 * 1024;
/** SOL_SOCKET and SCM_RIGHTS of unix(7). */
const [socketLevel, rights] = [1, 1];

/**
 * Lines from a socket to another process of this host, and descriptors with them (unix(7)). Waits for them synchronously:
 * nothing else of this process goes on meanwhile. For the executable alone.
 */
export class LineSocket {
  readonly #fd: number;
  readonly #symbols = loadCalls();
  readonly #descriptors: number[] = [];
  #rest = Buffer.alloc(0);

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The next line; null once the other end is closed, or where the descriptor is no socket. */
  receive(): ReceivedLine | null {
    for (;;) {
      const end = this.#rest.indexOf(0x0a);
      if (end >= 0) {
        const line = this.#rest.toString("utf8", 0, end);
        this.#rest = this.#rest.subarray(end + 1);
        return { line, fd: this.#descriptors.shift() ?? null };
      }
      const bytes = this.#rest.length > largestLineBytes ? null : this.#receiveBytes();
      if (bytes === null || bytes.length === 0) return null;
      this.#rest = Buffer.concat([this.#rest, bytes]);
    }
  }

  /** struct msghdr, iovec and cmsghdr of 64 bit Linux: recvmsg(2), cmsg(3). */
  #receiveBytes(): Buffer | null {
    const { ptr } = bunFfi();
    const bytes = Buffer.alloc(mostBytesAtOnce);
    const control = Buffer.alloc(24);
    const vector = new BigUint64Array([BigInt(ptr(bytes)), BigInt(bytes.length)]);
    const message = new BigUint64Array(7);
    message[2] = BigInt(ptr(vector));
    message[3] = 1n;
    message[4] = BigInt(ptr(control));
    message[5] = BigInt(control.length);
    for (;;) {
      const received = Number(this.#symbols.recvmsg(this.#fd, ptr(message), closeOnExec));
      if (received >= 0) {
        const came =
          Number(message[5]) >= 20 && control.readInt32LE(8) === socketLevel && control.readInt32LE(12) === rights;
        if (came) this.#descriptors.push(control.readInt32LE(16));
        return bytes.subarray(0, received);
      }
      if (this.#lastErrno() !== constants.errno.EINTR) return null;
    }
  }

  #lastErrno(): number {
    const location = this.#symbols.__errno_location();
    return location === null ? 0 : bunFfi().read.i32(location, 0);
  }
}

function loadCalls() {
  return bunFfi().dlopen("libc.so.6", {
    recvmsg: { args: ["i32", "ptr", "i32"], returns: "i64" },
    __errno_location: { args: [], returns: "ptr" },
  }).symbols;
}
