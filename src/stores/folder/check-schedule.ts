import { watchFiles } from "../../system/files/watch-files.ts";

/** When a holder looks at its lock, milliseconds after it took it: old tools do their harm within the first second. */
const earlyChecksMs = [25, 250] as const;
/** The last of the early checks. Runs that are over by now never pay for a watch. */
const watchFromMs = 1000;
/** And from then on, this often, by default. */
export const steadyCheckMs = 30_000;
/** Between the report of a change and the look: a tool that empties the file in a loop must not keep us busy. */
const afterChangeMs = 25;
/** What is missing, and may come back: a training that makes its folder anew has its marker again within a second. */
const againMs = 500;

/**
 * Runs `check` on the holder's schedule until stopped, and when one of `files` changes on this host: a lock file that is
 * unlinked is made again before anybody else has looked for it. `check` resolves with false where something is missing, and is
 * run again soon. Keeps no process alive by itself.
 */
export class CheckSchedule {
  readonly #check: () => Promise<boolean>;
  readonly #files: readonly string[];
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #steady: NodeJS.Timeout;
  #stopped = false;
  #watching: { stop(): void } | null = null;

  constructor(check: () => Promise<boolean>, everyMs: number, files: readonly string[]) {
    this.#check = check;
    this.#files = files;
    for (const delay of earlyChecksMs) this.#later(delay, () => void this.#check());
    this.#later(watchFromMs, () => void this.#checkAndWatch());
    this.#steady = setInterval(() => void this.#checkSteadily(), everyMs);
    this.#steady.unref();
  }

  stop(): void {
    this.#stopped = true;
    this.#watching?.stop();
    clearInterval(this.#steady);
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #later(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, ms);
    timer.unref();
    this.#timers.add(timer);
  }

  /** Files that are whole are still watched. */
  async #checkSteadily(): Promise<void> {
    if (!(await this.#check()) && !this.#stopped) this.#later(againMs, () => void this.#checkAndWatch());
  }

  async #checkAndWatch(): Promise<void> {
    const isWhole = await this.#check();
    if (this.#stopped) return;
    // Watched anew each time: a file that was healed is another one.
    this.#watching?.stop();
    this.#watching = watchFiles(this.#files, () => this.#later(afterChangeMs, () => void this.#checkAndWatch()));
    if (!isWhole) this.#later(againMs, () => void this.#checkAndWatch());
  }
}
