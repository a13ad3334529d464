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
}
