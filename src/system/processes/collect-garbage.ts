/** A listing of so many rows leaves more garbage than the runtime collects by itself before it asks for more memory. */
const manyRows = 20_000;

/** Frees the memory that a step over so many rows has left, if that is worth its time (some 20 ms for 100,000 rows). */
export function collectGarbageOf(rows: number): void {
  if (rows < manyRows) return;
  (globalThis as { readonly Bun?: { gc(atOnce: boolean): void } }).Bun?.gc(true);
}
