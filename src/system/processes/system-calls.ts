import { bunFfi, openLibc } from "../libc/libc-bun.ts";

/** Numbers of system calls that glibc has no wrapper for, or only a late one; unistd.h of each architecture. */
const numbers =
  process.arch === "arm64"
    ? { wait4: 260, waitid: 95, prctl: 167, prlimit64: 261, pidfd_send_signal: 424, pidfd_open: 434, pipe2: 59 }
    : { wait4: 61, waitid: 247, prctl: 157, prlimit64: 302, pidfd_send_signal: 424, pidfd_open: 434, pipe2: 293 };

let call: ((...numbers: (number | bigint)[]) => number) | undefined;

/** One system call of the executable: what it returns, and -1 for every failure. Missing arguments are 0. */
export function systemCall(name: keyof typeof numbers, ...args: readonly (number | bigint)[]): number {
  call ??= load();
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = args;
  return call(numbers[name], a, b, c, d, e);
}

function load(): (...numbers: (number | bigint)[]) => number {
  const { symbols } = openLibc({
    syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64"], returns: "i32" },
  });
  return symbols.syscall as (...numbers: (number | bigint)[]) => number;
}

/** The address of bytes that a call reads or writes. They must stay reachable until the call is over. */
export function addressOf(bytes: NodeJS.TypedArray): number {
  return Number(bunFfi().ptr(bytes));
}
