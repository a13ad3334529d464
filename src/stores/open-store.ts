import type { Configuration } from "../model/configuration.ts";
import type { Examine } from "../model/examine.ts";
import type { Layout } from "../site/layout.ts";
import { claimStore } from "./folder/claim.ts";
import { nestedStore } from "./nested/nested-store.ts";
import type { HeldLock, LockStore } from "./store.ts";
import type { StoreOptions } from "./store-options.ts";

/**
 * The store that keeps a site's locks: the one it names, else its file system. What a remote one needs is loaded only then. Inside
 * of a run it knows that run's claim.
 */
export async function openStore(layout: Layout, examine: Examine, options: StoreOptions = {}): Promise<LockStore> {
  const { checkEveryMs, onNote = () => undefined } = options;
  const around = process.env.TRAINLOCK_TOKEN ?? "";
  const token = /^[0-9a-f]{32}$/.test(around) ? around : null;
  return nestedStore(await plainStore(layout, examine, options), { layout, token, checkEveryMs, onNote });
}

async function plainStore(layout: Layout, examine: Examine, options: StoreOptions): Promise<LockStore> {
  if (layout.store === null) return claimStore(layout, examine, options);
  const { remoteLockStore } = await import("./lease/remote-store.ts");
  return remoteLockStore(layout, layout.store, examine, options);
}

/** Where a configuration's lock is kept, for who asks about it from another process. */
export async function lockAddress(layout: Layout, configuration: Configuration): Promise<string> {
  if (layout.store === null) return layout.kernelLockPath(configuration);
  const { remoteAddressOf } = await import("./lease/remote-store.ts");
  return remoteAddressOf(layout, layout.store, configuration);
}

/** How another rank of a launch holds the claim of rank 0, by its token; undefined: not at all, on the file system. */
export async function openJoin(
  layout: Layout,
  configuration: Configuration,
  options: StoreOptions,
): Promise<((token: string) => Promise<HeldLock | null>) | undefined> {
  const { store } = layout;
  if (store === null) return undefined;
  const { joinRemote } = await import("./lease/remote-store.ts");
  return (token) => joinRemote(layout, store, configuration, token, options);
}
