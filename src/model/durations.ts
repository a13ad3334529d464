const unitsMs = { "": 1000, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of `30s`, `10m`, `2h`, `1d` or a number of seconds; null for anything else. */
export function durationMs(text: string): number | null {
  const [, number, unit] = /^(\d{1,9}(?:\.\d{1,3})?)([smhd]?)$/.exec(text.trim()) ?? [];
  return number === undefined ? null : Math.round(Number(number) * unitsMs[(unit ?? "") as keyof typeof unitsMs]);
}
