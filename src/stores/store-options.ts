import type { ClaimOptions } from "./folder/claim.ts";
import type { Guard } from "./lease/keeper-messages.ts";

export interface StoreOptions extends ClaimOptions {
  /** What a remote store's keeper stops when a claim is lost; null: a program that looks after itself. */
  readonly guard?: Guard | null;
  /** For what the holder should know of a remote store: claimed again, not given back. */
  readonly onNote?: (text: string) => void;
}
