import { type ClaimOptions, claimStore } from "../locks/claim.ts";
import type { LockStore } from "../locks/lock.ts";
import type { Examine } from "../model/examine.ts";
import type { Layout } from "../model/layout.ts";
import { requireFileStore } from "./file-store-only.ts";

/** The store that keeps a site's locks: the one it names, else its file system. Throws an EnvironmentError where there is none. */
export async function openStore(layout: Layout, examine: Examine, options: ClaimOptions = {}): Promise<LockStore> {
  requireFileStore(layout.store?.address ?? null);
  return claimStore(layout, examine, options);
}
