import { errnoOf } from "../../system/libc/errno.ts";
import type { KernelLock } from "./kernel-lock.ts";
import type { PlacedMarker } from "./marker.ts";
import { sweepSuccessions } from "./marker-succession.ts";
import { sweepClaimFiles } from "./no-kernel-lock.ts";
import { sweepUnfinished } from "./temporary-file.ts";

/**
 * For whoever has just got the marker without a lock that keeps everybody out: removes what crashed claims left, which nobody needs from now on.
 * None of it is in anybody's way, so that no failure matters.
 */
export function sweepCrashed(kernel: KernelLock, weightsDir: string, marker: PlacedMarker, token: string): void {
  try {
    sweepClaimFiles(kernel, (found) => found.kind === "record" && found.record.trainlock?.token === token);
    sweepSuccessions(weightsDir, marker);
    // A contender that loses its unfinished marker by this makes another, and then finds ours in place.
    sweepUnfinished(weightsDir, true);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}
