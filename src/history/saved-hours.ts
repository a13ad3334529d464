import type { HistoryRun, Refusal } from "./runs.ts";

export interface SavedHours {
  /** Refusals, of which several of one user for one configuration within a minute are one, and each job is one. */
  readonly duplicates: number;
  /** What they would have cost, as far as it is known. */
  readonly gpuHours: number;
  /** For how many of them this is known. */
  readonly known: number;
}

const sameAttemptMs = 60_000;

/**
 * What jobs that were turned away would have cost: the measured length of the run that made them superfluous, if that ended
 * well, times their GPUs. What is not known is not counted.
 */
export function savedHours(runs: readonly HistoryRun[], refusals: readonly Refusal[]): SavedHours {
  const distinct = distinctJobs(refusals);
  // Of a hundred thousand runs few have made others superfluous.
  const asked = new Set(distinct.map(({ name }) => name));
  const lengths = new Map<string, number>();
  for (const { name, generation, state, seconds } of asked.size === 0 ? [] : runs)
    if (state === "done" && generation !== null && seconds !== null && asked.has(name))
      lengths.set(`${name} ${generation}`, seconds);
  let [duplicates, known, gpuSeconds] = [0, 0, 0];
  for (const { name, holder, gpus } of distinct) {
    duplicates += 1;
    const seconds = lengths.get(`${name} ${holder.generation}`);
    if (seconds === undefined || gpus === null) continue;
    known += 1;
    gpuSeconds += seconds * gpus;
  }
  return { duplicates, known, gpuHours: gpuSeconds / 3600 };
}

function distinctJobs(refusals: readonly Refusal[]): Refusal[] {
  const askers = new Set<string>();
  const lastAsked = new Map<string, number>();
  return [...refusals]
    .sort((a, b) => a.atMs - b.atMs)
    .filter(({ name, uid, asker, atMs }) => {
      const [job, user] = [`${uid} ${asker} ${name}`, `${uid} ${name}`];
      const isNew = !askers.has(job) && atMs - (lastAsked.get(user) ?? Number.NEGATIVE_INFINITY) > sameAttemptMs;
      askers.add(job);
      lastAsked.set(user, atMs);
      return isNew;
    });
}
