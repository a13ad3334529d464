/** Local time as Python's `datetime.now().isoformat()` writes it: `2026-01-12T16:49:29.536651`, no zone. */
export function localIso(microsecondsSinceEpoch: number): string {
  const date = new Date(Math.floor(microsecondsSinceEpoch / 1000));
  const micros = String(Math.floor(microsecondsSinceEpoch) % 1_000_000).padStart(6, "0");
  return `${localDay(date)}T${localTime(date)}.${micros}`;
}

/** Local time for people: `2026-01-12 16:49:29`. The runtime's own words for it take 9 ms to load. */
export function localDateTime(date: Date): string {
  return `${localDay(date)} ${localTime(date)}`;
}

/** `16:49:29`. */
export function localTime(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function localDay(date: Date): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

/** Now in microseconds since the epoch. `Date.now` alone would leave the last three digits zero. */
export function nowMicroseconds(): number {
  const monotonic = performance.now();
  return Date.now() * 1000 + Math.floor((monotonic % 1) * 1000);
}
