/** Who holds a lock, as far as anybody wrote it down. Null: not known. Strings are as found: escape before showing. */
export interface Holder {
  readonly pid: number | null;
  readonly hostname: string | null;
  readonly user: string | null;
  readonly jobId: string | null;
  /** Local ISO time. */
  readonly acquiredAt: string | null;
  readonly generation: number | null;
  readonly command: readonly string[] | null;
  /** Set where the process that the lock names has ended, and another of its training keeps the lock. */
  readonly living: LivingProcess | null;
}

/** A process that was seen to live, and what it runs. */
export interface LivingProcess {
  readonly pid: number;
  readonly hostname: string;
  /** Its arguments; its short name in brackets where it shows none. */
  readonly command: readonly string[];
}
