import { readFileSync, renameSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { TestConfiguration } from "../support/configuration.ts";
import type { Interval } from "../support/intervals.ts";
import { monotonic } from "./contenders.ts";

/** A marker that an old tool took away, by CLOCK_MONOTONIC in nanoseconds: it happened between the two. */
export interface Removal {
  readonly configuration: string;
  readonly from: bigint;
  readonly to: bigint;
}

/** A holding of a noclobber job, with all that its marker and its trap may have met. */
export interface MarkerHolding extends Interval {
  /** Before its script was started. */
  readonly startedAt: bigint;
  /** After its trap had removed whatever stood at the marker's path. */
  readonly finishedAt: bigint;
}

/**
 * The old tool's clear of markers: no PID, or a PID that does not run here, is stale to it, and goes, whoever's the marker has
 * become meanwhile. By rename, which to all others is the same as unlink.
 */
export function clearDeadMarker({ marker, model }: TestConfiguration, aside: string): Removal | null {
  try {
    const pid = Number.parseInt(readFileSync(marker, "latin1"), 10);
    if (!Number.isNaN(pid) && isRunning(pid)) return null;
    const from = monotonic();
    const cleared = join(aside, `cleared-${from}`);
    renameSync(marker, cleared);
    const to = monotonic();
    unlinkSync(cleared);
    return { configuration: model, from, to };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return null;
  }
}

/**
 * All holdings, those marked whose marker an old tool took away under them: a clear that had read another's, or the trap of a
 * noclobber job whose own had been taken before, which removes its successor's.
 */
export function withRemovedMarkers(
  claims: readonly Interval[],
  jobs: readonly MarkerHolding[],
  cleared: readonly Removal[],
): { claims: Interval[]; jobs: Interval[] } {
  const removals = [...cleared];
  const removedUnder = (configuration: string, from: bigint, to: bigint | null) =>
    removals.find((each) => each.configuration === configuration && each.to > from && (to === null || each.from < to));
  const markedJobs = [...jobs]
    .sort((a, b) => (a.finishedAt < b.finishedAt ? -1 : 1))
    .map((job): Interval => {
      const { configuration, startedAt, finishedAt } = job;
      if (removedUnder(configuration, startedAt, job.to) === undefined) return job;
      removals.push({ configuration, from: job.to ?? finishedAt, to: finishedAt });
      return { ...job, unnamedAt: job.from };
    });
  const markedClaims = claims.map((claim): Interval => {
    const removal = removedUnder(claim.configuration, claim.from, claim.to);
    if (claim.unnamedAt !== null || removal === undefined) return claim;
    return { ...claim, unnamedAt: removal.to };
  });
  return { claims: markedClaims, jobs: markedJobs };
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
