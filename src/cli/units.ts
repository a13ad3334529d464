import { UsageError } from "../model/errors.ts";

const secondsOf: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 };

/** `30s`, `10m`, `2h`, `1d`, or a number of seconds, in milliseconds. Throws a UsageError that names the flag. */
export function parseDuration(flag: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(text.trim()) ?? [];
  const seconds = unit === undefined ? undefined : secondsOf[unit];
  if (number === undefined || seconds === undefined) {
    throw new UsageError(`${flag} ${JSON.stringify(text)} is not a duration`, { hint: "30s, 10m, 2h, 1d, or seconds" });
  }
  return Number(number) * seconds * 1000;
}
