import { statSync } from "node:fs";
import type { Row } from "../grid/grid.ts";
import { messageOf, TrainlockError } from "../model/errors.ts";
import { errnoOf } from "../system/libc/errno.ts";

/** The rows that are to be trained, and all of the grid that they were chosen from. */
export interface ChosenRows {
  readonly chosen: readonly Row[];
  readonly all: readonly Row[];
}

/** A grid that is read again when its file has changed. */
export class GridOnDisk {
  readonly #file: string | undefined;
  readonly #read: () => Promise<ChosenRows>;
  readonly #check: (rows: readonly Row[]) => void;
  #version: string;
  #folders: ReadonlySet<string> = new Set();
  #complained: string | null = null;

  /** `check` throws for rows that the command cannot be made for. */
  constructor(file: string | undefined, read: () => Promise<ChosenRows>, check: (rows: readonly Row[]) => void) {
    this.#file = file;
    this.#read = read;
    this.#check = check;
    this.#version = this.#versionNow();
  }

  async first(): Promise<ChosenRows> {
    return this.#good();
  }

  /** Its rows where they have changed; null: they have not, or the file is gone or invalid, which is said once. */
  async changed(onProblem: (text: string) => void): Promise<ChosenRows | null> {
    const version = this.#versionNow();
    if (this.#file === undefined || version === this.#version) return null;
    this.#version = version;
    try {
      const rows = await this.#good();
      this.#complained = null;
      return rows;
    } catch (error) {
      if (!(error instanceof TrainlockError) && errnoOf(error) === undefined) throw error;
      const text = messageOf(error);
      if (this.#complained !== text) onProblem(`${text}; going on with the grid as it was`);
      this.#complained = text;
      return null;
    }
  }

  async #good(): Promise<ChosenRows> {
    const rows = await this.#read();
    this.#check(rows.chosen);
    this.#folders = new Set(rows.chosen.map(({ weightsDir }) => weightsDir));
    return rows;
  }

  /** Whether the row of a weights dir is one of those to be trained, as the grid was last read. */
  hasChosen(weightsDir: string): boolean {
    return this.#folders.has(weightsDir);
  }

  #versionNow(): string {
    if (this.#file === undefined) return "";
    try {
      const stats = statSync(this.#file, { bigint: true, throwIfNoEntry: false });
      return stats === undefined ? "gone" : `${stats.ino} ${stats.mtimeNs} ${stats.ctimeNs} ${stats.size}`;
    } catch (error) {
      return errnoOf(error) ?? "unknown";
    }
  }
}
