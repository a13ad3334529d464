import { libc } from "../libc/libc.ts";

/** CLOCK_BOOTTIME of clock_gettime(2). */
const bootClock = 7;

/**
 * Milliseconds since boot on the one clock that nobody sets and that goes on while a machine is suspended; the same in all
 * processes of a host. For how long something has lasted, when the answer must hold after a sleep, too.
 */
export function bootMs(): number {
  return libc().clockMs(bootClock);
}
