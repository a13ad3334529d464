import { readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { TrainlockError } from "../model/errors.ts";
import type { Checkpoint } from "../model/run-ends.ts";
import { declaredCheckpoint } from "../site/done-in-force.ts";
import { localIso } from "../system/clock/local-time.ts";
import { errnoOf } from "../system/libc/errno.ts";
import { findResumePoints } from "./resume.ts";
import type { RunRequest } from "./run-request.ts";

/** What frameworks write that a training can resume from; Hugging Face's is a folder. */
const checkpointName = /\.(?:pth|pt|ckpt|safetensors|bin|h5|hdf5|keras|npz|pkl|tar)$|^checkpoint-\d+$/i;

const noCheckpoint: Checkpoint = { checkpoint: null, checkpointWritten: null };

/**
 * The newest of what the site declares as checkpoints; else the one that was written last and has a usual name. A folder that
 * cannot be looked into has none that is known.
 */
export async function newestCheckpoint({ layout, configuration, done }: CheckpointSearch): Promise<Checkpoint> {
  const weightsDir = layout.weightsDir(configuration);
  if (declaredCheckpoint(layout.site, configuration).length === 0) return lastWrittenCheckpoint(weightsDir);
  try {
    const { newest } = await findResumePoints(layout, configuration, done.smallestBytes);
    if (newest === "") return noCheckpoint;
    return {
      checkpoint: relative(weightsDir, newest),
      checkpointWritten: writtenAt(statSync(newest, { bigint: true }).mtimeNs),
    };
  } catch (error) {
    if (error instanceof TrainlockError || errnoOf(error) !== undefined) return noCheckpoint;
    throw error;
  }
}

type CheckpointSearch = Pick<RunRequest, "layout" | "configuration" | "done">;

/** The last written of the checkpoints with a usual name. */
export function lastWrittenCheckpoint(weightsDir: string): Checkpoint {
  let best: { readonly name: string; readonly writtenNs: bigint } | null = null;
  try {
    for (const name of readdirSync(weightsDir)) {
      if (!checkpointName.test(name)) continue;
      const stats = statSync(join(weightsDir, name), { throwIfNoEntry: false, bigint: true });
      if (stats !== undefined && (best === null || stats.mtimeNs > best.writtenNs))
        best = { name, writtenNs: stats.mtimeNs };
    }
  } catch {
    return noCheckpoint;
  }
  if (best === null) return noCheckpoint;
  return { checkpoint: best.name, checkpointWritten: writtenAt(best.writtenNs) };
}

/** The same text for the same file from every program, training_lock.py included: whole microseconds, rounded down. */
function writtenAt(ns: bigint): string {
  return localIso(Number(ns / 1000n));
}
