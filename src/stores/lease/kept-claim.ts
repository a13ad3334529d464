/** One configuration's keys in the store. */
export interface ClaimKeys {
  /** Is there, under the claim's lease, while it is held; its value is the owner record. */
  readonly lock: string;
  /**
   * Stays, with the token of the last claim: changed by every claim, so that a holder can prove that there was none since its own.
   */
  readonly last: string;
}

/** A claim as its keeper has to know it. */
export interface KeptClaim extends ClaimKeys {
  readonly token: string;
  /** The owner record. */
  readonly value: Buffer;
  /** Create revision of the lock's key: the claim's generation. */
  readonly revision: number;
}
