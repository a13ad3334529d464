import { messageOf } from "../model/errors.ts";
import { afterKill, afterRun, type Checkpoint, type End, type RunEnds } from "../model/run-ends.ts";
import { requireRoot } from "../site/open-site.ts";
import type { ClaimOutcome, EarlierRuns, HeldLock } from "../stores/store.ts";
import { exitCodeOf } from "./command-exit-code.ts";
import { asksAnything } from "./done-rule.ts";
import { explainFailedStart } from "./failed-start.ts";
import { type DoneFinding, findCheckpoint, findDone } from "./find-done.ts";
import { newestCheckpoint } from "./newest-checkpoint.ts";
import { endOf, type RuleNow } from "./run-end.ts";
import type { RunOutcome, RunRequest } from "./run-request.ts";

/** `why`: the run has ended with exit code 0, and counts neither way. */
export interface CountedOutcome extends ClaimOutcome {
  readonly why?: string;
}

/** Counts one run: what came before it, and what its own end adds to that. */
export class RunCount {
  readonly #request: RunRequest;
  readonly #lock: HeldLock;
  readonly #beganAtMs = performance.now();
  /** Why the done rule could not be looked at after the command had ended. */
  #unseen = "";
  /**
   * The ends before this run. A run that was killed with its wrapper counts, too, and so does the newest checkpoint there is
   * now.
   */
  readonly before: RunEnds;

  private constructor(request: RunRequest, lock: HeldLock, before: RunEnds) {
    this.#request = request;
    this.#lock = lock;
    this.before = request.forgetsAttempts === true ? { ...before, attempts: 0, fruitless: 0 } : before;
  }

  /** Call this when the lock is held, before the command is started. */
  static async begin(request: RunRequest, lock: HeldLock): Promise<RunCount> {
    return new RunCount(request, lock, endsBefore(lock.earlier, await newestCheckpoint(request)));
  }

  /** What the claim is to be released with. */
  async outcome(outcome: RunOutcome): Promise<CountedOutcome> {
    const exitCode = outcome.kind === "ended" ? exitCodeOf(outcome.ending) : null;
    const ended = this.#request.leads ? await this.#endOf(outcome) : null;
    if (ended === null) return { exitCode };
    const seconds = Math.round(performance.now() - this.#beganAtMs) / 1000;
    const { end, lastExit } = ended;
    if (end !== null) {
      const newest = await newestCheckpoint(this.#request);
      return { exitCode, ends: afterRun(this.before, { end, lastExit, newest, seconds }) };
    }
    const why = `whether it is done cannot be looked at: ${this.#unseen}`;
    this.#request.tell.warning(`the command ended with 0, and ${why}`);
    return { exitCode, why, ends: { ...this.before, lastEnd: "interrupted", lastExit, seconds } };
  }

  /** Null: no command was to run. An end of null: it cannot be known. */
  async #endOf(outcome: RunOutcome): Promise<{ readonly end: End | null; readonly lastExit: number } | null> {
    switch (outcome.kind) {
      case "not started":
        return { end: "failed", lastExit: explainFailedStart(this.#request.argv[0], outcome.errno).exitCode };
      case "ended":
      case "lost": {
        const lost = outcome.kind === "lost" || this.#lock.lost.aborted;
        const end = await endOf({ ...outcome, lost }, () => this.#rule());
        return { end, lastExit: exitCodeOf(outcome.ending) };
      }
      default:
        return null;
    }
  }

  /** Null: it cannot be looked at. That must neither take the command's own exit code from it nor make it a failure. */
  async #rule(): Promise<RuleNow | null> {
    const { layout, configuration, done } = this.#request;
    if (!asksAnything(done)) return { when: null, any: null };
    const holds = (finding: DoneFinding) => finding.kind === "done";
    try {
      requireRoot(layout.root);
      const when = done.patterns.length === 0 ? null : holds(await findCheckpoint(layout, configuration, done));
      if (done.file === null) return { when, any: when };
      return { when, any: holds(await findDone(layout, configuration, done)) };
    } catch (error) {
      this.#unseen = messageOf(error);
      return null;
    }
  }
}

/** A killed run that left a newer checkpoint was not in vain. */
export function endsBefore({ ends, killed }: EarlierRuns, newest: Checkpoint): RunEnds {
  return killed === null ? { ...ends, ...newest } : afterKill(ends, newest);
}
