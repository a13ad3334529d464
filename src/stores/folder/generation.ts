import { EnvironmentError } from "../../model/errors.ts";
import { largestGeneration } from "../../model/generation.ts";
import { isNewer, type RecordReading } from "../../model/owner-record.ts";
import { markerRecordPath } from "../../site/layout.ts";
import { generationOf, isSignedOff } from "../claim-record.ts";
import { requireLockRecord } from "./lock-file.ts";
import { requireMarkerRecord } from "./read-marker.ts";

/** The two files that say how far a configuration's generations have come. */
interface CountedFiles {
  readonly lockPath: string;
  readonly weightsDir: string;
}

/**
 * One more than the highest generation in these records. If the numbers began again, the writes of an earlier holder would be
 * accepted. So if a record leaves the next number open, that is an EnvironmentError, and never a 0.
 */
export function generationAfter(readings: readonly RecordReading[], files: CountedFiles): number {
  const generations = readings.map(generationOf);
  // A crash may have left only one of the two records of a claim released.
  const settled = Math.max(-1, ...readings.filter(isSignedOff).map((reading) => generationOf(reading) ?? -1));
  if (readings.some((reading) => isNewer(reading) && (generationOf(reading) ?? Number.POSITIVE_INFINITY) > settled))
    throw newerTrainlock(files);
  const highest = Math.max(0, ...generations.map((generation) => generation ?? largestGeneration));
  if (highest < largestGeneration) return highest + 1;
  throw new EnvironmentError(
    `the generation in ${both(files)} cannot grow: ` +
      (generations.includes(null) ? "what stands there is no number below 2^53-1" : "it is the last one"),
    {
      code: "ERR_GENERATION",
      hint:
        "trainlock clear CONFIGURATION --reset-generation --no-dry-run, once nothing trains it: it goes on above the " +
        "highest number below the limit",
    },
  );
}

/** Throws where the next claim of a configuration would, for its generation; nobody else is asked. */
export function requireNextGeneration(files: CountedFiles): void {
  generationAfter([requireLockRecord(files.lockPath), requireMarkerRecord(files.weightsDir)], files);
}

export function newerTrainlock(files: CountedFiles): EnvironmentError {
  return new EnvironmentError(`this trainlock is older than the one that wrote ${both(files)}`, {
    code: "ERR_NEWER_TRAINLOCK",
    hint: "train with the newer trainlock: this one cannot tell whether that claim is over, or which number it had",
  });
}

function both({ lockPath, weightsDir }: CountedFiles): string {
  return `${lockPath} or ${markerRecordPath(weightsDir)}`;
}
