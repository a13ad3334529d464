/** A page is no reason to keep a file server busy: so often at most, however many look. */
const leastMs = 10_000;
/** And of the time between two scans one part in so many is spent on scanning. */
const share = 50;

/** How long after the start of a scan that kept the file server busy for `tookMs` the next one may start, milliseconds. Pure. */
export function pauseAfter(tookMs: number): number {
  return Math.max(leastMs, share * tookMs);
}

type OnScan<T> = (result: T) => void;

/**
 * Scans only while somebody looks. A request gets the last result until the next scan is due. A watcher gets each result. Two
 * scans never run at once.
 */
export class Scanner<T> {
  readonly #scan: () => Promise<T>;
  readonly #takeAskedMs: () => number;
  readonly #watchers = new Set<OnScan<T>>();
  #last: { readonly result: T; readonly dueMs: number } | null = null;
  #running: Promise<T> | null = null;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param takeAskedMs How long the last scan waited for the answers of other hosts and schedulers, milliseconds: a node that is
   *   cut off must not make the page old just when people look at it.
   */
  constructor(scan: () => Promise<T>, takeAskedMs: () => number = () => 0) {
    this.#scan = scan;
    this.#takeAskedMs = takeAskedMs;
  }

  /** The last result, or a new one where that is due. */
  async current(): Promise<T> {
    if (this.#running !== null) return this.#running;
    if (this.#last !== null && performance.now() < this.#last.dueMs) return this.#last.result;
    return this.#start();
  }

  /** Calls `onScan` after each scan, until the returned function is called. */
  watch(onScan: OnScan<T>): () => void {
    this.#watchers.add(onScan);
    this.#schedule();
    return () => {
      this.#watchers.delete(onScan);
      if (this.#watchers.size === 0) clearTimeout(this.#timer);
    };
  }

  #start(): Promise<T> {
    const startedMs = performance.now();
    const running = this.#scan()
      .then((result) => {
        const tookMs = Math.max(0, performance.now() - startedMs - this.#takeAskedMs());
        this.#last = { result, dueMs: startedMs + pauseAfter(tookMs) };
        for (const tell of this.#watchers) tell(result);
        return result;
      })
      .finally(() => {
        this.#running = null;
        this.#schedule();
      });
    this.#running = running;
    return running;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#watchers.size === 0 || this.#running !== null) return;
    const waitMs = this.#last === null ? leastMs : Math.max(0, this.#last.dueMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#start().catch(() => undefined);
    }, waitMs);
  }
}
