const unitsMs = { "": 1000, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of `30s`, `10m`, `2h`, `1d` or a number of seconds; null for anything else. */
export function durationMs(text: string): number | null {
  const [, number, unit] = /^(\d{1,9}(?:\.\d{1,3})?)([smhd]?)$/.exec(text.trim()) ?? [];
  return number === undefined ? null : Math.round(Number(number) * unitsMs[(unit ?? "") as keyof typeof unitsMs]);
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
