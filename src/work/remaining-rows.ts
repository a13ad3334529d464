import { randomInt } from "node:crypto";
import type { Row } from "../grid/grid.ts";
import type { RowLook } from "./look-at-row.ts";

/** Workers choose among so many, so that they do not all ask for one row. */
const choices = 16;
/** A look that is older is made again before the row is started. */
const freshMs = 50;

/** Why a row is left and not to be trained now. */
export type Rest =
  | { readonly kind: "held" | "failed" | "late" }
  | { readonly kind: "blocked" | "problem"; readonly why: string };

export interface RemainingOptions {
  readonly order: "grid" | "random";
  look(row: Row): Promise<RowLook | Rest>;
  /** A path of its weights dir or another name that no other row of the grid has. */
  keyOf(row: Row): string;
  /** Whether a submission covers it: taken only when there is nothing else. */
  isQueued(row: Row): boolean;
}

interface Entry {
  readonly row: Row;
  readonly key: string;
  readonly index: number;
  /** When it was seen to be trainable, by the monotonic clock. */
  seenMs: number;
}

/**
 * What is left of a grid, kept from row to row: each row is looked at once on the way to it and once more before it starts,
 * whatever has been trained until then. Rows that cannot be trained now are set apart until `refresh`.
 */
export class RemainingRows {
  readonly #options: RemainingOptions;
  #waiting: Entry[] = [];
  /** Those before it have been looked at. */
  #next = 0;
  #queued: Entry[] = [];
  #window: Entry[] = [];
  readonly #apart = new Map<string, { readonly entry: Entry; readonly rest: Rest }>();
  readonly #done = new Set<string>();
  readonly #taken = new Map<string, Entry>();
  #byKey = new Map<string, Entry>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(rows: readonly Row[], options: RemainingOptions) {
    this.#options = options;
    this.replace(rows);
  }

  /** How many rows are done, those of `before` among them, which nobody may have looked at yet. */
  doneAmong(before: ReadonlySet<string>): number {
    const more = [...before].filter((key) => this.#byKey.has(key) && !this.#done.has(key));
    return this.#done.size + more.length;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Those set apart, in the order of the grid. */
  get apart(): readonly { readonly row: Row; readonly rest: Rest }[] {
    return [...this.#apart.values()]
      .sort((a, b) => a.entry.index - b.entry.index)
      .map(({ entry, rest }) => ({ row: entry.row, rest }));
  }

  /** Whether rows may be left that nobody has looked at since the last refresh. */
  get hasUnseen(): boolean {
    return this.#waiting.length - this.#next + this.#window.length + this.#queued.length > 0;
  }

  /** The grid has changed: what is known of rows that stay as they were is kept. */
  replace(rows: readonly Row[]): void {
    const entries = rows.map((row, index): Entry => ({ row, key: this.#options.keyOf(row), index, seenMs: 0 }));
    const before = this.#byKey;
    this.#byKey = new Map(entries.map((entry) => [entry.key, entry]));
    const textOf = textsOfSettings();
    for (const key of [...this.#apart.keys(), ...this.#done]) {
      const [then, now] = [before.get(key), this.#byKey.get(key)];
      // By another done rule, other needs or more attempts it may be to train.
      if (then !== undefined && now !== undefined && textOf(then.row) === textOf(now.row)) continue;
      this.#apart.delete(key);
      this.#done.delete(key);
    }
    this.#enqueue(entries.filter(({ key }) => !this.#apart.has(key) && !this.#done.has(key) && !this.#taken.has(key)));
  }

  /** Looks again at all that was set apart, but for those that `stays` keeps. */
  refresh(stays: (row: Row, rest: Rest) => boolean = () => false): void {
    const again = [...this.#apart.values()].filter(({ entry, rest }) => !stays(entry.row, rest));
    for (const { entry } of again) this.#apart.delete(entry.key);
    const unseen = this.#waiting.slice(this.#next);
    this.#enqueue([...unseen, ...this.#window, ...this.#queued, ...again.map(({ entry }) => entry)]);
  }

  /** A row to train; null: none is left that can be trained now. Nobody else here gets it until `settle`. */
  take(): Promise<Row | null> {
    const row = this.#turn.then(() => this.#take());
    this.#turn = row;
    return row;
  }

  async #take(): Promise<Row | null> {
    for (;;) {
      if (this.#window.length < choices) await this.#fillWindow();
      const last = this.#window.length === 0;
      const entry = last ? this.#queued.shift() : this.#window.splice(randomInt(this.#window.length), 1)[0];
      if (entry === undefined) return null;
      if (performance.now() - entry.seenMs > freshMs && !(await this.#isTrainable(entry))) continue;
      this.#taken.set(entry.key, entry);
      return entry.row;
    }
  }

  /** What has become of a row that was taken. `again`: it may be tried once more, after the others. */
  settle(row: Row, outcome: "done" | "again" | Rest): void {
    const key = this.#options.keyOf(row);
    this.#taken.delete(key);
    const entry = this.#byKey.get(key);
    if (entry === undefined) return;
    if (outcome === "done") this.#done.add(key);
    else if (outcome === "again") this.#waiting.push(entry);
    else this.#apart.set(key, { entry, rest: outcome });
  }

  #enqueue(entries: Entry[]): void {
    const ordered = entries.sort((a, b) => a.index - b.index);
    this.#window = [];
    this.#queued = ordered.filter(({ row }) => this.#options.isQueued(row));
    const others = ordered.filter(({ row }) => !this.#options.isQueued(row));
    this.#waiting = this.#options.order === "grid" ? others : shuffled(others);
    this.#next = 0;
  }

  /** The other lanes refresh and replace while this one looks: what it looks at is in none of the lists. */
  async #fillWindow(): Promise<void> {
    while (this.#window.length < choices && this.#next < this.#waiting.length) {
      const entry = this.#waiting[this.#next] as Entry;
      this.#next += 1;
      if (await this.#isTrainable(entry)) this.#window.push(entry);
    }
  }

  /** A row that is not trainable goes where it belongs. One that was replaced meanwhile is waiting anew, or taken out. */
  async #isTrainable(entry: Entry): Promise<boolean> {
    const look = await this.#options.look(entry.row);
    if (this.#byKey.get(entry.key) !== entry) return false;
    entry.seenMs = performance.now();
    if (look.kind === "trainable") return true;
    if (look.kind === "done") this.#done.add(entry.key);
    else this.#apart.set(entry.key, { entry, rest: look });
    return false;
  }
}

/** The settings of a row as a text. Many rows have those of one block. */
function textsOfSettings(): (row: Row) => string {
  const known = new Map<Row["settings"], string>();
  return ({ settings }) => {
    const text = known.get(settings) ?? JSON.stringify(settings);
    known.set(settings, text);
    return text;
  };
}

function shuffled<T>(items: readonly T[]): T[] {
  const mixed = [...items];
  for (let at = mixed.length - 1; at > 0; at -= 1) {
    const other = randomInt(at + 1);
    [mixed[at], mixed[other]] = [mixed[other] as T, mixed[at] as T];
  }
  return mixed;
}
