import { realpathSync } from "node:fs";
import { dirname, resolve } from "node:path";

export interface NearestExisting {
  /** The path itself, or the nearest folder above it that can be reached. */
  readonly path: string;
  /** The same with links followed. */
  readonly real: string;
  /** Where the whole path leads, or would lead once what is missing is made: `real` and the rest. */
  readonly leadsTo: string;
}

/** Walks up from a path to what is there. Never throws: a part that cannot be followed counts as missing. */
export function nearestExisting(path: string): NearestExisting {
  const whole = resolve(path);
  for (let existing = whole; ; existing = dirname(existing)) {
    try {
      const real = realpathSync(existing);
      const rest = whole.slice(existing === "/" ? 1 : existing.length + 1);
      return { path: existing, real, leadsTo: rest === "" ? real : `${real === "/" ? "" : real}/${rest}` };
    } catch {
      if (existing === "/") return { path: "/", real: "/", leadsTo: whole };
    }
  }
}
