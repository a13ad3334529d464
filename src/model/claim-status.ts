import type { Holder } from "./holder.ts";

/** Whether a claim that was made is held still, by whatever keeps it. */
export interface ClaimStatus {
  /** Null: it cannot be told from here. The caller must not go on as if it were held. */
  readonly held: boolean | null;
  /** The generation of the claim that has the lock, or had it last, if anything says so. */
  readonly generation: number | null;
  /** One line: what was found. Strings of others may be in it: escape before showing. */
  readonly why: string;
  /** Who has it, or had it last. */
  readonly holder: Holder | null;
}
