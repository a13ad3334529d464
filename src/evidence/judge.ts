import type { DeathReason, DoubtReason, Evidence, Verdict } from "../model/evidence.ts";

/** The more telling reason first, where several sources found a holder dead. */
const deathsByWeight: readonly DeathReason[] = [
  "host rebooted",
  "job ended",
  "lock not held",
  "PID not running",
  "no PID",
];
const doubtsByWeight: readonly DoubtReason[] = [
  "newer trainlock",
  "being created",
  "other container",
  "remote process",
];

/** Doubts that no proof of an end takes away: they are about what goes on, or will, in spite of it. */
function outweighsDeath(doubt: DoubtReason): boolean {
  return !doubtsByWeight.includes(doubt);
}

/** Why a process that may be the holder is not known to be it; undefined: none was found. */
function maybeFound(evidence: readonly Evidence[]): DoubtReason | undefined {
  return evidence.flatMap((item) => (item.says === "unknown" && item.maybeFound ? [item.because] : []))[0];
}

/**
 * The one rule that turns evidence into a verdict: any alive → active; else a doubt that outweighs an end → unknown; else any
 * dead → stale; else unknown. Pure: the same evidence, in any order, gives the same verdict.
 */
export function judge(evidence: readonly Evidence[]): Verdict {
  if (evidence.some((item) => item.says === "alive")) return { status: "active", label: "ACTIVE" };
  const doubts = evidence.filter((item) => item.says === "unknown").map((item) => item.because);
  const strong = doubts.filter(outweighsDeath).sort()[0] ?? maybeFound(evidence);
  if (strong !== undefined) return { status: "unknown", label: `UNKNOWN - ${strong}`, because: strong };
  const deaths = evidence.filter((item) => item.says === "dead").map((item) => item.because);
  const death = deathsByWeight.find((reason) => deaths.includes(reason));
  if (death !== undefined) return { status: "stale", label: `STALE - ${death}`, because: death };
  const doubt = doubtsByWeight.find((reason) => doubts.includes(reason)) ?? "remote process";
  return { status: "unknown", label: `UNKNOWN - ${doubt}`, because: doubt };
}
