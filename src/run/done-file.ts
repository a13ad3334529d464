import { join } from "node:path";
import type { Configuration } from "../model/configuration.ts";
import { localIso } from "../model/local-time.ts";
import { writeByRename } from "../system/files/write-by-rename.ts";

export interface DoneFile {
  readonly configuration: Configuration;
  readonly generation: number;
  readonly command: readonly string[];
  /** Milliseconds since the epoch, as `endedAt`. */
  readonly startedAt: number;
  readonly endedAt: number;
}

/** Leaves word in the weights dir that a training is done, for those that have no telling checkpoint. */
export function writeDoneFile(weightsDir: string, name: string, done: DoneFile): void {
  const { configuration, generation, command } = done;
  const json = {
    configuration,
    generation,
    command,
    started: localIso(done.startedAt * 1000),
    ended: localIso(done.endedAt * 1000),
    exitCode: 0,
  };
  writeByRename(join(weightsDir, name), Buffer.from(`${JSON.stringify(json, null, 2)}\n`));
}
