import { durationForms, durationMs } from "../model/durations.ts";
import { UsageError } from "../model/errors.ts";

/** `30s`, `10m`, `1h30m`, or a number of seconds, in milliseconds. Throws a UsageError that names the flag. */
export function parseDuration(flag: string, text: string): number {
  const ms = durationMs(text);
  if (ms === null) throw new UsageError(`${flag} ${JSON.stringify(text)} is not a duration`, { hint: durationForms });
  return ms;
}

/** The same, and more than 0. */
export function parsePositiveDuration(flag: string, text: string): number {
  const milliseconds = parseDuration(flag, text);
  if (milliseconds > 0) return milliseconds;
  throw new UsageError(`${flag} ${text} leaves no time`, { hint: "give more than 0" });
}

const bytesOf: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `4096`, `1K`, `20MiB`, in bytes. Throws a UsageError that names the flag. */
export function parseSize(flag: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? [];
  const factor = unit === undefined ? undefined : bytesOf[unit.toLowerCase()];
  if (number === undefined || factor === undefined) {
    throw new UsageError(`${flag} ${JSON.stringify(text)} is not a size`, { hint: "bytes, or 1K, 20M, 1G" });
  }
  return Math.ceil(Number(number) * factor);
}

/** For options that take how many of something. */
export function parseCount(given: string, text: string): number {
  return wholeNumber(given, text, 1_000_000);
}

export function wholeNumber(given: string, text: string, most: number): number {
  const number = /^\d{1,7}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= most) return number;
  throw new UsageError(`${given} ${JSON.stringify(text)} is not a number from 1 to ${most}`, { hint: `${given} 4` });
}
