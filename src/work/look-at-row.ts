import { existsSync } from "node:fs";
import type { FieldReader } from "../grid/fields.ts";
import type { Row } from "../grid/grid.ts";
import { NeedChecker } from "../grid/needs.ts";
import { kernelLockFactsOf } from "../listing/kernel-lock-facts.ts";
import type { Configuration } from "../model/configuration.ts";
import { messageOf } from "../model/errors.ts";
import { recordIn } from "../model/owner-record.ts";
import { asksAnything, type DoneRule } from "../run/done-rule.ts";
import { findDone } from "../run/find-done.ts";
import { type Layout, markerPath } from "../site/layout.ts";
import { readMarkerRecord } from "../stores/folder/read-marker.ts";
import type { RemoteLocks } from "../stores/lease/remote-locks.ts";
import { openRemoteLocks } from "../stores/open-store.ts";
import { requireWithin } from "../system/files/within.ts";

/** What one look at a row found. `trainable`: nothing known speaks against it, and the claim will tell. */
export type RowLook =
  | { readonly kind: "trainable" }
  | { readonly kind: "done" }
  | { readonly kind: "held" }
  | { readonly kind: "blocked"; readonly why: string }
  | { readonly kind: "problem"; readonly why: string };

/**
 * Looks at single rows, in the same time however many others there are: its lock, its weights dir, what it needs. Asks no host
 * and no scheduler: a lock that somebody may hold is left to who claims it.
 */
export class RowLooker {
  readonly #reader: FieldReader;
  readonly #ruleOf: (row: Row) => DoneRule;
  readonly #remote: RemoteLocks | null;
  #needs: NeedChecker;

  constructor(reader: FieldReader, ruleOf: (row: Row) => DoneRule, remote: RemoteLocks | null) {
    this.#reader = reader;
    this.#ruleOf = ruleOf;
    this.#remote = remote;
    this.#needs = this.#makeNeeds();
  }

  static async open(reader: FieldReader, ruleOf: (row: Row) => DoneRule): Promise<RowLooker> {
    return new RowLooker(reader, ruleOf, await openRemoteLocks(reader.layout));
  }

  /** What was found out about needs is asked anew. */
  forget(): void {
    this.#needs = this.#makeNeeds();
  }

  close(): void {
    this.#remote?.close();
  }

  /** `again`: what shows the row to be done does not count. */
  async look(row: Row, again = false): Promise<RowLook> {
    const { configuration, settings } = row;
    const { layout } = this.#reader;
    try {
      // The files first: what is there while nobody holds the row was finished before.
      const isDone = !again && (await this.#isDone(row));
      if (await this.#isHeld(configuration)) return { kind: "held" };
      if (isDone) return existsSync(markerPath(layout.weightsDir(configuration))) ? trainable : { kind: "done" };
      if (settings.needs.length === 0) return trainable;
      const why = await this.#needs.missing(configuration, settings.needs);
      return why === null ? trainable : { kind: "blocked", why };
    } catch (error) {
      return { kind: "problem", why: messageOf(error) };
    }
  }

  /** Whether a run that has just ended with exit code 0 has done what it was for. */
  async endedWell(row: Row): Promise<boolean> {
    if (isEmptyRule(this.#ruleOf(row))) return true;
    // What another configuration has left shows nothing.
    return this.#isDone(row).catch(() => false);
  }

  async #isHeld(configuration: Configuration): Promise<boolean> {
    const { layout } = this.#reader;
    if ((await this.#remote?.of(configuration)) != null) return true;
    const lockPath = layout.kernelLockPath(configuration);
    const facts = existsSync(lockPath)
      ? await kernelLockFactsOf(layout, lockPath, layout.weightsDir(configuration))
      : null;
    return facts?.kernelLock.state === "held";
  }

  async #isDone(row: Row): Promise<boolean> {
    const { layout } = this.#reader;
    const weightsDir = layout.weightsDir(row.configuration);
    if (!existsSync(weightsDir)) return false;
    requireWithin(layout.root, weightsDir);
    const rule = this.#ruleOf(row);
    if (isEmptyRule(rule)) return hasEndedWell(layout, row.configuration);
    const found = await findDone(layout, row.configuration, rule);
    if (found.kind === "another's") throw found.error;
    return found.kind === "done";
  }

  #makeNeeds(): NeedChecker {
    const isDone = async (configuration: Configuration): Promise<boolean> => {
      const row: Row = { configuration, settings: { done: null, needs: [], submit: [], maxAttempts: null }, place: "" };
      return !(await this.#isHeld(configuration)) && (await this.#isDone(row));
    };
    return new NeedChecker(this.#reader, isDone);
  }
}

/** What a marker is worth is judged by who claims it. */
const trainable: RowLook = { kind: "trainable" };

/** Whether nothing is declared that shows a row to be done. */
export function isEmptyRule(rule: DoneRule): boolean {
  return !asksAnything(rule);
}

/** Without a done rule: whether the last run of a configuration ended with exit code 0, as its owner record says. */
export function hasEndedWell(layout: Layout, configuration: Configuration): boolean {
  const record = recordIn(readMarkerRecord(layout.weightsDir(configuration)).reading);
  const section = record?.trainlock ?? null;
  return section !== null && section.releasedAt !== null && section.exitCode === 0;
}
