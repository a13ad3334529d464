import type { Layout } from "../site/layout.ts";
import type { RemoteLocks } from "./lease/remote-locks.ts";

/** The locks of the remote store that a site names; null: it has none. In a file of its own: who only looks needs no store. */
export async function openRemoteLocks(layout: Layout): Promise<RemoteLocks | null> {
  if (layout.store === null) return null;
  const { remoteLocksOf } = await import("./lease/remote-store.ts");
  return remoteLocksOf(layout, layout.store);
}
