import type { Configuration } from "../model/configuration.ts";
import type { ClaimOptions } from "./folder/claim.ts";
import type { GuardRules } from "./lease/keeper-messages.ts";
import type { Busy } from "./store.ts";

export interface StoreOptions extends ClaimOptions {
  /** What a remote store's keeper stops when a claim is lost; null: a program that looks after itself. */
  readonly guard?: GuardRules | null;
  /** Who holds the kernel lock or the marker of a configuration whose files this process cannot lock. Null: nobody. */
  readonly lookAtFiles?: (configuration: Configuration) => Promise<Busy | null>;
  /** A remote store ends what goes on here of a claim that nobody keeps any more, by SIGKILL after so long; null: it does not. */
  readonly killLeftBehindAfterMs?: number | null;
  /** For what the holder should know of a remote store: claimed again, not released. */
  readonly onNote?: (text: string) => void;
}
