/** Resolves after `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Between half and the whole of `ms`: contenders that began together must not meet again. */
export function withJitter(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}
