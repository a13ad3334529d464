import type { HistoryRun } from "./runs.ts";

/** Clocks differ and jump: within a configuration the generation says what came first. */
export function inOrder(runs: readonly HistoryRun[]): HistoryRun[] {
  const sorted = [...runs].sort((a, b) => timeOf(a) - timeOf(b));
  const places = new Map<string, number[]>();
  sorted.forEach(({ name, stage, generation }, place) => {
    if (generation === null) return;
    const key = stage === null ? name : `${name}\n${stage}`;
    const known = places.get(key);
    if (known === undefined) places.set(key, [place]);
    else known.push(place);
  });
  const result = [...sorted];
  for (const own of places.values()) {
    if (own.length < 2) continue;
    const byGeneration = own
      .flatMap((place) => sorted[place] ?? [])
      .sort((a, b) => (a.generation ?? 0) - (b.generation ?? 0));
    own.forEach((place, nth) => {
      const run = byGeneration[nth];
      if (run !== undefined) result[place] = run;
    });
  }
  return result;
}

function timeOf({ startedMs, endedMs }: HistoryRun): number {
  return startedMs ?? endedMs ?? 0;
}
