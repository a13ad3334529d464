/** Local time as Python's `datetime.now().isoformat()` writes it: `2026-01-12T16:49:29.536651`, no zone. */
export function localIso(microsecondsSinceEpoch: number): string {
  const date = new Date(Math.floor(microsecondsSinceEpoch / 1000));
  const micros = String(Math.floor(microsecondsSinceEpoch) % 1_000_000).padStart(6, "0");
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${micros}`;
}

/** Now in microseconds since the epoch. `Date.now` alone would leave the last three digits zero. */
export function nowMicroseconds(): number {
  const monotonic = performance.now();
  return Date.now() * 1000 + Math.floor((monotonic % 1) * 1000);
}
