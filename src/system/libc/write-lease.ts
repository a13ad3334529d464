import { libc } from "./libc.ts";

/** F_SETSIG, F_SETLEASE and F_GETLEASE of fcntl.h. */
const [setSignal, setLease, getLease] = [10, 1024, 1025];
/** F_WRLCK and F_UNLCK. */
const [write, none] = [1, 2];
/** Ignored unless somebody asks for it. The signal that is sent otherwise, SIGIO, ends a process. */
const urgent = 23;

/**
 * Calls `work` while no other process of this host has the file open, and whoever opens it waits. Nothing is done where that
 * cannot be had. `isStillSo`: nobody is waiting.
 */
export function whileNobodyOpens(fd: number, work: (isStillSo: () => boolean) => void): void {
  const call = (command: number, value: number) => libc().fcntlValue(fd, command, value);
  if (call(setSignal, urgent) < 0 || call(setLease, write) < 0) return;
  try {
    work(() => call(getLease, 0) === write);
  } finally {
    call(setLease, none);
  }
}
