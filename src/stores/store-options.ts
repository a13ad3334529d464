import type { Configuration } from "../model/configuration.ts";
import type { ClaimOptions } from "./folder/claim.ts";
import type { Guard } from "./lease/keeper-messages.ts";
import type { Busy } from "./store.ts";

export interface StoreOptions extends ClaimOptions {
  /** What a remote store's keeper stops when a claim is lost; null: a program that looks after itself. */
  readonly guard?: Guard | null;
  /** Who holds the kernel lock or the marker of a configuration whose files this process cannot lock. Null: nobody. */
  readonly lookAtFiles?: (configuration: Configuration) => Promise<Busy | null>;
  /** For what the holder should know of a remote store: claimed again, not given back. */
  readonly onNote?: (text: string) => void;
}
