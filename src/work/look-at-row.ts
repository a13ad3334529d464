import { statSync } from "node:fs";
import type { FieldReader } from "../grid/fields.ts";
import { noSettings, type Row } from "../grid/grid.ts";
import { type IsDone, NeedChecker } from "../grid/needs.ts";
import { kernelLockFactsOf } from "../listing/kernel-lock-facts.ts";
import { judged } from "../listing/list-locks.ts";
import { markerFacts } from "../listing/marker-facts.ts";
import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError, messageOf } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import { asksAnything, type DoneRule } from "../run/done-rule.ts";
import { type DoneFinding, findDone } from "../run/find-done.ts";
import { isNewer } from "../run/set-aside.ts";
import { whatIsMissing } from "../run/what-is-missing.ts";
import { type Layout, markerPath, markerRecordName } from "../site/layout.ts";
import { requireRoot } from "../site/open-site.ts";
import { earlierRuns, storeBeforeFiles } from "../stores/earlier-runs.ts";
import { readMarkerRecord } from "../stores/folder/read-marker.ts";
import type { RemoteLocks } from "../stores/lease/remote-locks.ts";
import { openRemoteLocks } from "../stores/open-remote-locks.ts";
import type { EarlierRuns } from "../stores/store.ts";
import { requireWithin } from "../system/files/within.ts";
import { asSystemError, isErrno } from "../system/libc/errno.ts";

/** What one look at a row found. `trainable`: nothing known speaks against it, and the claim will tell. */
export type RowLook =
  | { readonly kind: "trainable" }
  | { readonly kind: "done" }
  | { readonly kind: "held" }
  | { readonly kind: "failed" }
  | { readonly kind: "blocked"; readonly why: string }
  | { readonly kind: "problem"; readonly why: string };

export interface RowLookerOptions {
  readonly reader: FieldReader;
  readonly ruleOf: (row: Row) => DoneRule;
  /** How many failed runs make a row `failed`. */
  readonly maxAttempts: (row: Row) => number;
  /** Of what has failed, that is tried once more whose last run began before this time; null: nothing is. */
  readonly retriedSinceMs: number | null;
  /** What was done in a weights dir before this time, milliseconds since the epoch, is to be trained again; null: nothing is. */
  readonly againSinceMs: (weightsDir: string) => number | null;
  /** Judges the marker of a row that others need. */
  readonly examine: Examine;
}

/**
 * Looks at single rows, in the same time however many others there are: its lock, its weights dir, what it needs. Asks no host
 * and no scheduler: a lock that somebody may hold is left to who claims it. Only of a row that others need nobody asks later.
 */
export class RowLooker {
  readonly #reader: FieldReader;
  readonly #ruleOf: (row: Row) => DoneRule;
  readonly #maxAttempts: (row: Row) => number;
  readonly #retriedSinceMs: number | null;
  readonly #againSinceMs: RowLookerOptions["againSinceMs"];
  readonly #examine: Examine;
  readonly #remote: RemoteLocks | null;
  /** Whether somebody has, or may have, a marked row that others need, by its weights dir. */
  readonly #marked = new Map<string, Promise<boolean>>();
  #needs: NeedChecker;
  /** The store does not answer: it is not asked for each of a thousand rows, until `forget`. */
  #outage: EnvironmentError | null = null;

  constructor(options: RowLookerOptions, remote: RemoteLocks | null) {
    this.#reader = options.reader;
    this.#ruleOf = options.ruleOf;
    this.#maxAttempts = options.maxAttempts;
    this.#retriedSinceMs = options.retriedSinceMs;
    this.#againSinceMs = options.againSinceMs;
    this.#examine = options.examine;
    this.#remote = remote;
    this.#needs = this.#makeNeeds();
  }

  static async open(options: RowLookerOptions): Promise<RowLooker> {
    return new RowLooker(options, await openRemoteLocks(options.reader.layout));
  }

  /** What was found out about needs is asked anew. */
  forget(): void {
    this.#marked.clear();
    this.#outage = null;
    this.#needs = this.#makeNeeds();
  }

  close(): void {
    this.#remote?.close();
  }

  async look(row: Row): Promise<RowLook> {
    const { configuration, settings } = row;
    const { layout } = this.#reader;
    try {
      // The files first: what is there while nobody holds the row was finished before.
      const isDone = await this.#isDone(row);
      if (await this.#isHeld(configuration)) return { kind: "held" };
      if (isDone) return isThere(markerPath(row.weightsDir)) ? trainable : { kind: "done" };
      const why = settings.needs.length === 0 ? null : await this.#needs.missing(configuration, settings.needs);
      if (why !== null) return { kind: "blocked", why };
      const hasFailed = (await this.#runsOf(configuration)).ends.attempts >= this.#maxAttempts(row);
      if (hasFailed && !isForgiven(layout, configuration, this.#retriedSinceMs)) return { kind: "failed" };
      return trainable;
    } catch (error) {
      return { kind: "problem", why: messageOf(error) };
    }
  }

  /**
   * What a run that has just ended with exit code 0 lacks to be done, in words; null: nothing. `wasStopped`: by a signal, after
   * which exit code 0 alone says nothing. Throws where that cannot be looked at.
   */
  async missingAfterRun(row: Row, wasStopped: boolean): Promise<string | null> {
    const rule = this.#ruleOf(row);
    if (isEmptyRule(rule)) return wasStopped ? "no rule shows it to be done" : null;
    // What another configuration has left shows nothing.
    if ((await this.#find(row)).kind === "done") return null;
    return whatIsMissing(row.weightsDir, rule);
  }

  async #isHeld(configuration: Configuration): Promise<boolean> {
    const { layout } = this.#reader;
    const key = await this.#keyOf(configuration);
    // What is under no lease, as from a backup, is judged by who claims it.
    if (key !== null && key.leased !== false) return true;
    const lockPath = layout.kernelLockPath(configuration);
    const facts = isThere(lockPath)
      ? await kernelLockFactsOf(layout, lockPath, layout.weightsDir(configuration))
      : null;
    return facts?.kernelLock.state === "held";
  }

  async #isDone(row: Row): Promise<boolean> {
    if (isEmptyRule(this.#ruleOf(row))) return this.#hasEndedWell(row);
    const found = await this.#find(row);
    if (found.kind === "another's") throw found.error;
    return found.kind === "done";
  }

  /** Without a done rule: whether the last run ended with exit code 0, and not before it is to be trained again. */
  async #hasEndedWell(row: Row): Promise<boolean> {
    const { layout } = this.#reader;
    const sinceMs = this.#againSinceMs(row.weightsDir);
    if (!this.#hasFolder(row) && this.#remote === null) return false;
    const { ends, killed } = await this.#runsOf(row.configuration);
    if (ends.lastEnd !== "done" || killed !== null) return false;
    return sinceMs === null || isNewer(layout, row.configuration, markerRecordName, sinceMs);
  }

  /** As the store says it where locks are kept there, else the record in the weights dir. */
  async #runsOf(configuration: Configuration): Promise<EarlierRuns> {
    const { layout } = this.#reader;
    const { reading } = readMarkerRecord(layout.weightsDir(configuration));
    const inFolder = earlierRuns([reading], layout, configuration);
    const [stored] = (await this.#ask((remote) => remote.records([configuration]))) ?? [];
    return stored === undefined ? inFolder : storeBeforeFiles(earlierRuns([stored], layout, configuration), inFolder);
  }

  async #find(row: Row): Promise<DoneFinding> {
    if (!this.#hasFolder(row)) return { kind: "not done" };
    const { layout } = this.#reader;
    const found = await findDone(layout, row.configuration, this.#ruleOf(row));
    const since = this.#againSinceMs(row.weightsDir);
    const isOld = since !== null && found.kind === "done" && !isNewer(layout, row.configuration, found.path, since);
    return isOld ? { kind: "not done" } : found;
  }

  #hasFolder({ weightsDir }: Row): boolean {
    const { layout } = this.#reader;
    if (isThere(weightsDir)) {
      requireWithin(layout, weightsDir);
      return true;
    }
    // A file server that is away has no folder either, and that makes nothing free or failed.
    requireRoot(layout.root);
    return false;
  }

  #makeNeeds(): NeedChecker {
    const isDone: IsDone = async (configuration, done) => {
      const weightsDir = this.#reader.layout.weightsDir(configuration);
      const row: Row = { configuration, weightsDir, settings: { ...noSettings, done }, source: "", line: null };
      // The files first, as above.
      if (!(await this.#isDone(row)) || (await this.#isHeld(configuration))) return false;
      return !(await this.#isMarked(row)) && !(await this.#hasKey(configuration));
    };
    return new NeedChecker(this.#reader, isDone);
  }

  /** Whether a marker says that somebody holds a row, and nothing proves that one dead. */
  #isMarked({ configuration, weightsDir }: Row): Promise<boolean> {
    const known = this.#marked.get(weightsDir);
    if (known !== undefined) return known;
    const { layout } = this.#reader;
    if (!isThere(markerPath(weightsDir))) return notMarked;
    const isHeld = markerFacts(layout, weightsDir, true, layout.kernelLockPath(configuration)).then(
      async (marker) => marker !== null && (await judged(marker, this.#examine)).verdict.status !== "stale",
    );
    this.#marked.set(weightsDir, isHeld);
    return isHeld;
  }

  #keyOf(configuration: Configuration): Promise<LockFacts | null> {
    return this.#ask((remote) => remote.of(configuration));
  }

  /** Null: locks are on the files alone. */
  async #ask<T>(question: (remote: RemoteLocks) => Promise<T>): Promise<T | null> {
    if (this.#remote === null) return null;
    if (this.#outage !== null) throw this.#outage;
    try {
      return await question(this.#remote);
    } catch (error) {
      if (error instanceof EnvironmentError && error.transient) this.#outage = error;
      throw error;
    }
  }

  /** The same of a key of the store. */
  async #hasKey(configuration: Configuration): Promise<boolean> {
    const key = await this.#keyOf(configuration);
    return key !== null && (await judged(key, this.#examine)).verdict.status !== "stale";
  }
}

const notMarked = Promise.resolve(false);

/** What a marker is worth is judged by who claims it. */
const trainable: RowLook = { kind: "trainable" };

/** Throws an EnvironmentError where that cannot be looked at. */
function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return false;
    throw asSystemError("look at", path, error);
  }
}

/** Whether nothing is declared that shows a row to be done. */
export function isEmptyRule(rule: DoneRule): boolean {
  return !asksAnything(rule);
}

/** Whether failures do not count: none was since this time, milliseconds since the epoch. Null: they count. */
export function isForgiven(layout: Layout, configuration: Configuration, sinceMs: number | null): boolean {
  // Several workers that are to try it once more do so once. Its record is written as each run begins and ends.
  return sinceMs !== null && !isNewer(layout, configuration, markerRecordName, sinceMs);
}
