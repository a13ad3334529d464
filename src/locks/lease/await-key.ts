import type { EtcdClient } from "../../etcd/client.ts";
import { sleepUnlessAborted, withJitter } from "../../system/sleep.ts";

/** What only evidence shows, a key under no lease whose owner has died, is asked for this often. */
const askAgainMs = 60_000;
/** After a connection broke. */
const reconnectMs = 500;

/**
 * Until a key is gone, as the store tells it, or it is time to ask again. `since` is the revision at which it was there; null:
 * not known. Resolves also when the signal aborts; a store that cannot be reached is waited for.
 */
export async function awaitKey(
  client: EtcdClient,
  key: string,
  since: number | null,
  signal: AbortSignal,
): Promise<void> {
  const enough = AbortSignal.any([signal, AbortSignal.timeout(askAgainMs)]);
  let seen = since;
  while (!enough.aborted) {
    try {
      if (seen === null) {
        const { entry, revision } = await client.get(key, { signal: enough });
        if (entry === null) return;
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
      await sleepUnlessAborted(withJitter(reconnectMs), enough);
    }
  }
}
