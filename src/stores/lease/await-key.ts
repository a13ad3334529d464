import type { EtcdClient } from "../../etcd/client.ts";
import { sleepUnlessAborted, withJitter } from "../../system/clock/sleep.ts";

/** What only evidence shows, a key under no lease whose owner has died, is asked for this often. */
const askAgainMs = 60_000;
/** After a connection broke. */
const reconnectMs = 500;

/**
 * Until a key is gone, as the store tells it, or it is time to ask again. `since` is the revision at which it was there; null:
 * not known. A store that cannot be reached is waited for, also when it is time: who asked then would be told that there is
 * none. Resolves as well when the signal aborts.
 */
export async function awaitKey(
  client: EtcdClient,
  key: string,
  since: number | null,
  signal: AbortSignal,
  timeToAskMs = askAgainMs,
): Promise<void> {
  const timeToAsk = AbortSignal.timeout(timeToAskMs);
  const enough = AbortSignal.any([signal, timeToAsk]);
  let seen = since;
  while (!signal.aborted) {
    try {
      if (seen === null || timeToAsk.aborted) {
        const { entry, revision } = await client.get(key, { signal });
        if (entry === null || timeToAsk.aborted) return;
        seen = revision;
      }
      for await (const event of client.watch(key, seen + 1, enough)) {
        if (event.kind === "delete") return;
        seen = event.revision;
        if (event.kind !== "compacted") continue;
        seen = null;
        break;
      }
    } catch {
      seen = null;
      await sleepUnlessAborted(withJitter(reconnectMs), signal);
    }
  }
}
