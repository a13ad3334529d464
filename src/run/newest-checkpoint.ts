import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { localIso } from "../model/local-time.ts";
import type { Checkpoint } from "../model/run-ends.ts";

/** What frameworks write that a training can resume from; Hugging Face's is a folder. */
const checkpointName = /\.(?:pth|pt|ckpt|safetensors|bin|h5|hdf5|keras|npz|pkl|tar)$|^checkpoint-\d+$/i;

const noCheckpoint: Checkpoint = { checkpoint: null, checkpointWritten: null };

/** The checkpoint that was written last in a weights dir. A folder that cannot be looked into has none that is known. */
export function newestCheckpoint(weightsDir: string): Checkpoint {
  let best: { readonly name: string; readonly writtenMs: number } | null = null;
  try {
    for (const name of readdirSync(weightsDir)) {
      if (!checkpointName.test(name)) continue;
      const writtenMs = statSync(join(weightsDir, name), { throwIfNoEntry: false })?.mtimeMs;
      if (writtenMs !== undefined && (best === null || writtenMs > best.writtenMs)) best = { name, writtenMs };
    }
  } catch {
    return noCheckpoint;
  }
  if (best === null) return noCheckpoint;
  return { checkpoint: best.name, checkpointWritten: localIso(Math.round(best.writtenMs * 1000)) };
}
