import { watchFiles } from "../../system/files/watch-files.ts";

/** When a holder looks at its lock, milliseconds after it took it: old tools do their harm within the first second. */
const earlyChecksMs = [25, 250] as const;
/** The last of the early ones. Runs that are over by now never pay for being told of changes. */
const watchFromMs = 1000;
/** And from then on, this often, unless told otherwise. */
export const steadyCheckMs = 30_000;
/** Between being told of a change and looking: a tool that empties the file in a loop must not keep us busy. */
const afterChangeMs = 25;

/**
 * Runs `check` on the holder's schedule until stopped, and when one of `files` changes on this host: a lock file that is
 * unlinked is made again before anybody else has looked for it. Keeps no process alive by itself.
 */
export function scheduleChecks(
  check: () => Promise<void>,
  everyMs: number,
  files: readonly string[],
): { stop(): void } {
  let stopped = false;
  let watching: { stop(): void } | null = null;
  const timers = new Set<NodeJS.Timeout>();
  const later = (ms: number, work: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timer.unref();
    timers.add(timer);
  };
  const checkAndWatch = async () => {
    await check();
    // Watched anew each time: a file that was healed is another one.
    if (!stopped) watching = watchFiles(files, () => later(afterChangeMs, () => void checkAndWatch()));
  };
  for (const delay of earlyChecksMs) later(delay, () => void check());
  later(watchFromMs, () => void checkAndWatch());
  const steady = setInterval(() => void check(), everyMs);
  steady.unref();
  return {
    stop: () => {
      stopped = true;
      watching?.stop();
      clearInterval(steady);
      for (const timer of timers) clearTimeout(timer);
    },
  };
}
