import { readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { messageOf } from "../model/errors.ts";
import { parseJson } from "../model/parse-json.ts";
import { makeHeldFolder } from "../system/files/open-beneath.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { writeByRename } from "../system/files/write-by-rename.ts";
import { isErrno } from "../system/libc/errno.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { withFileLock } from "./file-lock.ts";

/** A run that ended by itself, well or not. */
export interface EndedRun {
  /** Of the configuration, as lists show it. */
  readonly name: string;
  readonly model: string;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
  readonly seconds: number;
  readonly well: boolean;
}

/** What one host's workers of one user remember. */
interface Memory {
  readonly runs: readonly EndedRun[];
  /** Failures before it do not count (`--retry-failed`); milliseconds since the epoch. Older programs know this alone. */
  readonly retriedAt: number;
  /** The same by the clocks of those who noted them: when the last run that does not count ended, by the name of its file. */
  readonly retried: Readonly<Record<string, number>>;
  /** Seconds of the last runs that ended well, by model. */
  readonly seconds: Readonly<Record<string, readonly number[]>>;
}

const nothing: Memory = { runs: [], retriedAt: 0, retried: {}, seconds: {} };
const [mostRuns, mostTimes, mostModels] = [40, 9, 200];
const [mostBytes, mostFiles] = [256 * 1024, 2000];

/** If this many runs in a row fail within this time, the mistake is in the command, not in the rows. */
const brokenGrid = { runs: 10, seconds: 60 } as const;

/**
 * How the last runs of all workers of a site ended: a file for each host and user, which no two hosts write. It stops a mistake
 * in a command that many workers and array elements have, and says how long a model trains.
 */
export class EndedRuns {
  readonly #folder: string;
  readonly #own: string;
  readonly #onProblem: (text: string) => void;
  readonly #known = new Map<string, { readonly version: string; readonly memory: Memory }>();
  #complained = false;

  constructor(lockDir: string, onProblem: (text: string) => void) {
    const { hostname, uid } = thisHost();
    this.#folder = join(lockDir, "work");
    this.#own = join(this.#folder, `${hostname.replaceAll(/[^A-Za-z0-9._-]/g, "_")}-${uid}.json`);
    this.#onProblem = onProblem;
  }

  async add(run: EndedRun): Promise<void> {
    await this.#change((memory) => ({
      ...memory,
      runs: [...memory.runs, run].slice(-mostRuns),
      seconds: run.well ? withTime(memory.seconds, run) : memory.seconds,
    }));
  }

  /** Forgives what failed until now. */
  async forgive(): Promise<void> {
    const retried = Object.fromEntries(this.#all().map(({ name, memory }) => [name, lastEndOf(memory)]));
    await this.#change((memory) => ({ ...memory, retriedAt: Date.now(), retried }));
  }

  /** The last runs of these rows, where so many of different rows failed quickly with none that went well; null: no such series. */
  brokenSeries(isRow: (name: string) => boolean): readonly EndedRun[] | null {
    const files = this.#all();
    const retriedAt = Math.max(0, ...files.map(({ memory }) => memory.retriedAt));
    const latestFirst = files
      .flatMap(({ name: file, memory: { runs } }) => {
        const forgiven = Math.max(retriedAt, ...files.map(({ memory }) => memory.retried[file] ?? 0));
        return runs.filter(({ name, endedAt }) => endedAt > forgiven && isRow(name));
      })
      .sort((a, b) => b.endedAt - a.endedAt);
    const other = latestFirst.findIndex((run) => !isQuickFailure(run));
    const series = other === -1 ? latestFirst : latestFirst.slice(0, other);
    const byRow = new Map(series.map((run) => [run.name, run]));
    return byRow.size < brokenGrid.runs ? null : [...byRow.values()].slice(0, brokenGrid.runs);
  }

  /** The median of the runs of a model that ended well, of three at least; null: not known. */
  usualSeconds(model: string): number | null {
    const times = this.#all()
      .flatMap(({ memory: { seconds } }) => (Object.hasOwn(seconds, model) ? (seconds[model] ?? []) : []))
      .sort((a, b) => a - b);
    return times.length < 3 ? null : (times[Math.floor(times.length / 2)] ?? null);
  }

  async #change(change: (memory: Memory) => Memory): Promise<void> {
    try {
      makeHeldFolder(this.#folder).close();
      await withFileLock(`${this.#own}.lock`, async () => {
        const memory = change(readMemory(this.#own));
        writeByRename(this.#own, Buffer.from(JSON.stringify(memory)));
      });
    } catch (error) {
      if (!this.#complained) this.#onProblem(`how runs end cannot be noted: ${messageOf(error)}`);
      this.#complained = true;
    }
  }

  #all(): readonly { readonly name: string; readonly memory: Memory }[] {
    return this.#files().map((path) => {
      const name = basename(path);
      const version = versionOf(path);
      const known = this.#known.get(path);
      if (known !== undefined && known.version === version) return { name, memory: known.memory };
      const memory = readMemory(path);
      this.#known.set(path, { version, memory });
      return { name, memory };
    });
  }

  #files(): string[] {
    try {
      const names = readdirSync(this.#folder).filter((name) => name.endsWith(".json"));
      return names.slice(0, mostFiles).map((name) => join(this.#folder, name));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) this.#onProblem(`cannot read ${this.#folder}: ${messageOf(error)}`);
      return [];
    }
  }
}

export function isQuickFailure({ well, seconds }: Pick<EndedRun, "seconds" | "well">): boolean {
  return !well && seconds < brokenGrid.seconds;
}

function lastEndOf({ runs }: Memory): number {
  return Math.max(0, ...runs.map(({ endedAt }) => endedAt));
}

function withTime(seconds: Memory["seconds"], { model, seconds: took }: EndedRun): Memory["seconds"] {
  const { [model]: before = [], ...others } = seconds;
  const kept = Object.entries(others).slice(-(mostModels - 1));
  return { ...Object.fromEntries(kept), [model]: [...before, took].slice(-mostTimes) };
}

function versionOf(path: string): string {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino} ${stats.mtimeNs} ${stats.size}`;
}

/** Another user wrote it: what has not the right shape is left out. */
function readMemory(path: string): Memory {
  const reading = readRegularFile(path, mostBytes);
  const value = reading.kind === "file" ? parseJson(reading.bytes.toString("utf8")) : undefined;
  if (typeof value !== "object" || value === null) return nothing;
  const { runs, retriedAt, retried, seconds } = value as Partial<Record<keyof Memory, unknown>>;
  return {
    runs: Array.isArray(runs) ? runs.filter(isEndedRun).slice(-mostRuns) : [],
    // A time that is yet to come would forgive for ever.
    retriedAt: isTime(retriedAt) && retriedAt <= Date.now() + 60_000 ? retriedAt : 0,
    retried: readRetried(retried),
    seconds: readTimes(seconds),
  };
}

function readRetried(value: unknown): Memory["retried"] {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, number] => isTime(entry[1])));
}

function readTimes(value: unknown): Memory["seconds"] {
  if (typeof value !== "object" || value === null) return {};
  const entries = Object.entries(value).map(([model, times]) => [
    model,
    Array.isArray(times) ? times.filter(isTime).slice(-mostTimes) : [],
  ]);
  return Object.fromEntries(entries);
}

function isEndedRun(value: unknown): value is EndedRun {
  if (typeof value !== "object" || value === null) return false;
  const run = value as Partial<Record<keyof EndedRun, unknown>>;
  const texts = typeof run.name === "string" && typeof run.model === "string";
  return texts && isTime(run.endedAt) && isTime(run.seconds) && typeof run.well === "boolean";
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
