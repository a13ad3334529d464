/** Others write a growing beat once a second. This counts how many looks in a row have found the same beat of each. */
export class Beats {
  readonly #last = new Map<string, { readonly beat: number; readonly unchanged: number; readonly atMs: number }>();
  readonly #everyMs: number;

  /** `everyMs`: a look that comes sooner after the last one does not count. */
  constructor(everyMs = 1000) {
    this.#everyMs = everyMs;
  }

  /** How many looks in a row have seen this beat: 0 at the first. Time in which this process was stopped does not count. */
  unchanged(name: string, beat: number): number {
    const now = performance.now();
    const last = this.#last.get(name);
    if (last === undefined || last.beat !== beat) {
      this.#last.set(name, { beat, unchanged: 0, atMs: now });
      return 0;
    }
    if (now - last.atMs < this.#everyMs / 2) return last.unchanged;
    this.#last.set(name, { beat, unchanged: last.unchanged + 1, atMs: now });
    return last.unchanged + 1;
  }
}
