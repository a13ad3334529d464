import { appendFileSync } from "node:fs";

/** What was tried, by kind. */
export type Tally = Partial<
  Record<
    | "crashPoints"
    | "errorsInjected"
    | "recordsCut"
    | "rounds"
    | "attempts"
    | "takeovers"
    | "kills"
    | "stops"
    | "overlaps"
    | "oldWritersOverlaps"
    | "lockFilesLost"
    | "statesExplored"
    | "schedules",
    number
  >
>;

/** Adds to the sum of a long run, where there is one (`npm run test:soak`). */
export function tally(tried: Tally): void {
  const path = process.env.TRAINLOCK_TALLY;
  if (path) appendFileSync(path, `${JSON.stringify(tried)}\n`);
}

/** A long run does not try everything every time, but everything once in so many times. */
export const soakParts = 8;

/** The part of a long list that this time is the turn of. */
export function turnOf<T>(items: readonly T[]): T[] {
  const pass = Number(process.env.TRAINLOCK_SOAK_PASS ?? 0);
  return items.filter((_, index) => index % soakParts === pass % soakParts);
}
