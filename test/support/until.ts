import { setTimeout as sleep } from "node:timers/promises";

/** Waits for what another process is about to do. Fails with the last thing seen when it does not. */
export async function until<T>(what: string, look: () => T | null | Promise<T | null>, timeoutMs = 10_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(20);
  }
}
