import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { runLogsFolder } from "../site/layout.ts";
import { localIso } from "../system/clock/local-time.ts";

/** A log of a run, in the weights dir. */
export interface RunLog {
  readonly generation: number;
  readonly path: string;
  /** Last write, local ISO time. */
  readonly written: string;
}

/** The logs of a configuration's runs, the newest first. None where the folder cannot be looked into. */
export function logsIn(weightsDir: string): readonly RunLog[] {
  return numbered(weightsDir).flatMap(({ generation, path }) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats?.isFile() !== true) return [];
    return [{ generation, path, written: localIso(Math.round(stats.mtimeMs * 1000)) }];
  });
}

/** The log of the run of this generation; null: it has none. */
export function logOf(weightsDir: string, generation: number | null): string | null {
  return numbered(weightsDir).find((log) => log.generation === generation)?.path ?? null;
}

/** They are named by the generation of their claim. */
function numbered(weightsDir: string): { readonly generation: number; readonly path: string }[] {
  const folder = join(weightsDir, runLogsFolder);
  try {
    return readdirSync(folder)
      .flatMap((name) => {
        const [, generation] = /^(\d{1,15})\.log$/.exec(name) ?? [];
        return generation === undefined ? [] : [{ generation: Number(generation), path: join(folder, name) }];
      })
      .sort((a, b) => b.generation - a.generation);
  } catch {
    return [];
  }
}
