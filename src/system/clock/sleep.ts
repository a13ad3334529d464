/** Resolves after `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Between half and the whole of `ms`: contenders that began together must not meet again. */
export function withJitter(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}

/** Resolves after `ms` milliseconds, or at once when the signal aborts; never rejects, and leaves nothing behind. */
export function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", settle);
      resolve();
    };
    const timer = setTimeout(settle, ms);
    if (signal.aborted) settle();
    else signal.addEventListener("abort", settle, { once: true });
  });
}
