import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { historyFolder } from "../history/event-file.ts";
import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError } from "../model/errors.ts";
import { isGeneration, largestGeneration } from "../model/generation.ts";
import { isNewer, type RecordReading } from "../model/owner-record.ts";
import { parseJson } from "../model/parse-json.ts";
import { serializeOwnerRecord } from "../model/serialize-owner-record.ts";
import type { Layout } from "../site/layout.ts";
import { asReleased, generationOf, isSignedOff, newOwnerRecord } from "../stores/claim-record.ts";
import { earlierRuns } from "../stores/earlier-runs.ts";
import { acquireLockToClear, recordsOfClaims } from "../stores/folder/claim-lock.ts";
import { newerTrainlock } from "../stores/folder/generation.ts";
import type { KernelLock } from "../stores/folder/kernel-lock.ts";
import { removeLockFile, requireLockRecord } from "../stores/folder/lock-file.ts";
import { readMarker, requireMarkerRecord } from "../stores/folder/read-marker.ts";
import { writeMarkerRecord } from "../stores/folder/temporary-file.ts";
import { namesIn } from "../system/files/names-in.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { requireWithin } from "../system/files/within.ts";
import { randomHex } from "../system/random.ts";

const largestDoneFileBytes = 64 * 1024;
/** One host's events of a month. */
const largestHistoryBytes = 64 * 1024 * 1024;

/**
 * Lets the generations of a configuration go on above the highest number below the limit that its records, done files and history
 * name. Returns the generation of its next claim. Throws an EnvironmentError while anybody holds it, or while a lock of it has not
 * been cleared. In a dry run nothing is changed.
 */
export async function resetGeneration(layout: Layout, configuration: Configuration, dryRun: boolean): Promise<number> {
  const weightsDir = layout.weightsDir(configuration);
  const lockPath = layout.kernelLockPath(configuration);
  requireWithin(layout, weightsDir);
  const files = { lockPath, weightsDir, name: layout.displayName(configuration) };
  if (dryRun) return 1 + highestIn([requireLockRecord(lockPath)], files);
  const kernel = await acquireLockToClear(lockPath, layout.site.lockPrimitive);
  if (kernel === "busy") throw notReset(`${lockPath} is held`);
  try {
    const { previous } = kernel;
    if (readMarker(weightsDir) !== null) throw notReset(`a marker is in ${weightsDir}`);
    if (previous.kind === "record" && !isSignedOff(previous)) throw notReset(`${lockPath} was not released`);
    const generation = highestIn([previous], files);
    const earlier = earlierRuns([previous, requireMarkerRecord(weightsDir)], layout, configuration);
    const who = { configuration, token: randomHex(16), generation, lockInode: kernel.inode, command: null, earlier };
    const record = serializeOwnerRecord(asReleased(newOwnerRecord({ ...who, weightsDir })));
    if (existsSync(weightsDir)) writeMarkerRecord(weightsDir, record);
    replaceRecord(kernel, record);
    return generation + 1;
  } finally {
    kernel.release();
  }
}

/** Where nobody can lock the file, claims keep their records elsewhere, and this one is in the way. */
function replaceRecord(kernel: KernelLock, record: Buffer): void {
  if (kernel.excludes) kernel.write(record);
  else removeLockFile(kernel.path, kernel.previous);
}

function highestIn(
  inLockFile: readonly RecordReading[],
  files: { readonly lockPath: string; readonly weightsDir: string; readonly name: string },
): number {
  const ofClaims = recordsOfClaims(files.lockPath).map(({ reading }) => reading);
  const readings = [...inLockFile, ...ofClaims, requireMarkerRecord(files.weightsDir)];
  if (readings.some(isNewer)) throw newerTrainlock(files);
  const found = [
    ...readings.map((reading) => generationOf(reading) ?? 0),
    ...generationsOfDoneFiles(files.weightsDir),
    ...generationsInHistory(dirname(files.lockPath), files.name),
  ];
  return Math.max(0, ...found.filter((generation) => generation < largestGeneration));
}

/** A done file has the name that its run was given, and is known by what is in it. */
function generationsOfDoneFiles(weightsDir: string): number[] {
  return (namesIn(weightsDir) ?? []).flatMap((name) => {
    const reading = readRegularFile(join(weightsDir, name), largestDoneFileBytes);
    if (reading.kind !== "file" || reading.bytes.length > largestDoneFileBytes) return [];
    const done = parseJson(reading.bytes.toString("utf8"));
    if (typeof done !== "object" || done === null || !("exitCode" in done) || !("generation" in done)) return [];
    return isGeneration(done.generation) ? [done.generation] : [];
  });
}

/** Events of another stage have the same name: then it begins higher than it would have to. */
function generationsInHistory(lockDir: string, name: string): number[] {
  const folder = historyFolder(lockDir);
  const files = (namesIn(folder) ?? []).flatMap((host) =>
    (namesIn(join(folder, host)) ?? []).map((file) => join(folder, host, file)),
  );
  const wanted = `"name":${JSON.stringify(name)}`;
  return files.flatMap((path) => {
    const reading = readRegularFile(path, largestHistoryBytes);
    if (reading.kind !== "file") return [];
    const lines = reading.bytes.toString("utf8").split("\n");
    return lines.flatMap((line) => {
      const event = line.includes(wanted) ? parseJson(line) : null;
      if (typeof event !== "object" || event === null || !("generation" in event)) return [];
      return isGeneration(event.generation) ? [event.generation] : [];
    });
  });
}

function notReset(why: string): EnvironmentError {
  return new EnvironmentError(`the generation is not reset: ${why}`, {
    code: "ERR_GENERATION_IN_USE",
    hint: "wait until its training is over; trainlock list says who has it",
  });
}
