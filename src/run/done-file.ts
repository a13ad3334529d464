import { statSync } from "node:fs";
import { join } from "node:path";
import type { Configuration } from "../model/configuration.ts";
import { TrainlockError } from "../model/errors.ts";
import { configuration as recordedConfiguration } from "../model/owner-record-fields.ts";
import { wrong } from "../model/record-fields.ts";
import { localIso } from "../system/clock/local-time.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { sweepUnfinished, writeByRename } from "../system/files/write-by-rename.ts";
import { asSystemError, isErrno } from "../system/libc/errno.ts";

const largestDoneFileBytes = 64 * 1024;

export interface DoneFile {
  readonly configuration: Configuration;
  readonly generation: number;
  /** As records tell it. */
  readonly command: readonly string[];
  /** The patterns of the done rule that was in force. */
  readonly when: readonly string[];
  /** Milliseconds since the epoch, as `endedAt`. */
  readonly startedAt: number;
  readonly endedAt: number;
}

/** Leaves word in the weights dir that a training is done, for those that have no telling checkpoint. */
export function writeDoneFile(weightsDir: string, name: string, done: DoneFile): void {
  const { configuration, generation, command, when } = done;
  const json = {
    configuration,
    when,
    generation,
    command,
    started: localIso(done.startedAt * 1000),
    ended: localIso(done.endedAt * 1000),
    exitCode: 0,
  };
  const path = join(weightsDir, name);
  writeByRename(path, Buffer.from(`${JSON.stringify(json, null, 2)}\n`));
  sweepUnfinished(path);
}

/** What a done file says. Anybody may have written it: null for what is not there or makes no sense. */
export interface FoundDoneFile {
  readonly configuration: Configuration | null;
  readonly when: readonly string[] | null;
  readonly modifiedNs: bigint;
}

/** Null: there is none. Throws an EnvironmentError where that cannot be known. */
export function readDoneFile(weightsDir: string, name: string): FoundDoneFile | null {
  const path = join(weightsDir, name);
  try {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stats?.isFile() !== true) return null;
    const reading = readRegularFile(path, largestDoneFileBytes);
    if (reading.kind === "absent") return null;
    // What was opened and cannot be read is there, whatever it says: it does not count as missing.
    if (reading.kind === "failed" && reading.opened) throw asSystemError("read the done file", path, reading.error);
    if (reading.kind === "failed") throw reading.error;
    const said = reading.kind === "file" ? parseDoneFile(reading.bytes) : saysNothing;
    return { ...said, modifiedNs: stats.mtimeNs };
  } catch (error) {
    if (error instanceof TrainlockError) throw error;
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return null;
    throw asSystemError("read the done file", path, error);
  }
}

const saysNothing = { configuration: null, when: null };

function parseDoneFile(bytes: Buffer): Pick<FoundDoneFile, "configuration" | "when"> {
  if (bytes.length > largestDoneFileBytes) return saysNothing;
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    return saysNothing;
  }
  if (typeof json !== "object" || json === null) return saysNothing;
  const { configuration, when } = json as Readonly<Record<string, unknown>>;
  const named = recordedConfiguration.read(inRecordedSpelling(configuration));
  return {
    configuration: named === wrong ? null : named,
    when: Array.isArray(when) && when.every((each) => typeof each === "string") ? when : null,
  };
}

/** A done file spells the auxiliary loss as the library does, a record as the old programs do. */
function inRecordedSpelling(configuration: unknown): unknown {
  if (typeof configuration !== "object" || configuration === null) return null;
  const { auxLoss, ...rest } = configuration as Readonly<Record<string, unknown>>;
  return { aux_loss: auxLoss, ...rest };
}
