/** When a holder looks at its lock, milliseconds after it took it: old tools do their harm within the first second. */
const earlyChecksMs = [25, 250, 1000] as const;
/** And from then on, this often, unless told otherwise. */
export const steadyCheckMs = 30_000;

/** Runs `check` on the holder's schedule until stopped. Keeps no process alive by itself. */
export function scheduleChecks(check: () => Promise<void>, everyMs: number): { stop(): void } {
  const steady = setInterval(() => void check(), everyMs);
  steady.unref();
  const early = earlyChecksMs.map((delay) => {
    const timer = setTimeout(() => void check(), delay);
    timer.unref();
    return timer;
  });
  return {
    stop: () => {
      clearInterval(steady);
      for (const timer of early) clearTimeout(timer);
    },
  };
}
