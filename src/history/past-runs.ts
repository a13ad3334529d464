import { type HistoryRun, type Refusal, readRuns } from "./runs.ts";

/** What the history has of one configuration. */
interface PastRuns {
  /** The newest first. */
  readonly runs: readonly HistoryRun[];
  /** Jobs that were turned away, the newest first. */
  readonly refusals: readonly Refusal[];
}

export interface Past {
  readonly byName: ReadonlyMap<string, PastRuns>;
  /** Files that could not be read, with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** The runs of a site by the names of their configurations; `of`: of this one alone. */
export function readPast(lockDir: string, of: string | null = null): Past {
  const { runs, refusals, unreadable } = readRuns(lockDir, { sinceMs: null, of });
  const byName = new Map<string, { runs: HistoryRun[]; refusals: Refusal[] }>();
  const pastOf = (name: string) => {
    const past = byName.get(name) ?? { runs: [], refusals: [] };
    byName.set(name, past);
    return past;
  };
  for (const run of runs.toReversed()) pastOf(run.name).runs.push(run);
  for (const refusal of [...refusals].sort((a, b) => b.atMs - a.atMs)) pastOf(refusal.name).refusals.push(refusal);
  return { byName, unreadable };
}
