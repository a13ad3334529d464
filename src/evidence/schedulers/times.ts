const months = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");

/** `2026-01-12T16:49:29`, with or without a fraction, local time: seconds since the epoch. Null: no such time. */
export function isoSeconds(text: string | null | undefined): number | null {
  if (!text || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text)) return null;
  const milliseconds = new Date(text.slice(0, 23)).getTime();
  return Number.isFinite(milliseconds) ? milliseconds / 1000 : null;
}

/**
 * `Jan 12 16:49`, `Jan 12 16:49:29 2026`, `Mon Jan 12 16:49:29 2026`: local time, as LSF and PBS write it. Without a year the
 * latest such time that is not to come.
 */
export function monthDaySeconds(text: string | null | undefined, now: Date = new Date()): number | null {
  const found = /\b([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d)(?::(\d\d))?(?: (\d{4}))?/.exec(text ?? "");
  if (found === null) return null;
  const [, name = "", day, hour, minute, second = "0", year] = found;
  const month = months.indexOf(name.toLowerCase());
  if (month === -1) return null;
  const inYear = (y: number) => new Date(y, month, Number(day), Number(hour), Number(minute), Number(second)).getTime();
  if (year !== undefined) return inYear(Number(year)) / 1000;
  const thisYear = inYear(now.getFullYear());
  // A day of room for a scheduler's host whose clock or zone is ahead.
  return (thisYear > now.getTime() + 86_400_000 ? inYear(now.getFullYear() - 1) : thisYear) / 1000;
}
