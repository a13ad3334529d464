const unitsMs = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** What {@link durationMs} reads, for messages. */
export const durationForms = "30s, 10m (or 10min), 2h, 1d, 1h30m, 300ms, or seconds";

/** Milliseconds of `30s`, `10m`, `1h30m`, `300ms` or a number of seconds; null for anything else. */
export function durationMs(text: string): number | null {
  const given = text.trim();
  if (/^\d{1,9}(?:\.\d{1,3})?$/.test(given)) return Math.round(Number(given) * unitsMs.s);
  if (!/^(?:\d{1,9}(?:\.\d{1,3})?(?:ms|s|min|m|h|d)){1,6}$/.test(given)) return null;
  let ms = 0;
  let before = Number.POSITIVE_INFINITY;
  for (const [, number, unit] of given.matchAll(/(\d+(?:\.\d+)?)(ms|s|min|m|h|d)/g)) {
    const unitMs = unitsMs[unit as keyof typeof unitsMs];
    // The larger unit first, each once: 30m1h is a slip.
    if (unitMs >= before) return null;
    before = unitMs;
    ms += Number(number) * unitMs;
  }
  return Math.round(ms);
}

/** `42 s`, `3 min 20 s`, `2 h 5 min`, `1 d 3 h`: the two largest units. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}
