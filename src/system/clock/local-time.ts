import { libc } from "../libc/libc.ts";

/** Local time as Python's `datetime.now().isoformat()` writes it: `2026-01-12T16:49:29.536651`, no zone. */
export function localIso(microsecondsSinceEpoch: number): string {
  const whole = Math.floor(microsecondsSinceEpoch);
  const { day, time } = localText(Math.floor(whole / 1000));
  // A time before 1970 counts from its second on, too.
  const fraction = whole - Math.floor(whole / 1_000_000) * 1_000_000;
  return `${day}T${time}.${String(fraction).padStart(6, "0")}`;
}

/** Local time for people: `2026-01-12 16:49:29`. */
export function localDateTime(msSinceEpoch: number): string {
  const { day, time } = localText(msSinceEpoch);
  return `${day} ${time}`;
}

/** `16:49:29`. */
export function localTime(msSinceEpoch: number): string {
  return localText(msSinceEpoch).time;
}

/**
 * By the C library: for its first local time, Bun loads its own tables of time zones, which takes 5 ms. The C library takes
 * 0.1 ms.
 */
function localText(msSinceEpoch: number): { readonly day: string; readonly time: string } {
  const seconds = Math.floor(msSinceEpoch / 1000);
  const found = Number.isSafeInteger(seconds) ? libc().localTime(seconds) : null;
  if (found === null) return { day: "unknown day", time: "unknown time" };
  const [second = 0, minute = 0, hour = 0, day = 0, month = 0, yearsSince1900 = 0] = found;
  return {
    day: `${yearsSince1900 + 1900}-${two(month + 1)}-${two(day)}`,
    time: `${two(hour)}:${two(minute)}:${two(second)}`,
  };
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

/** Now in microseconds since the epoch. `Date.now` alone would leave the last three digits zero. */
export function nowMicroseconds(): number {
  const monotonic = performance.now();
  return Date.now() * 1000 + Math.floor((monotonic % 1) * 1000);
}
