import { exitCodes } from "../model/errors.ts";
import { afterKill, afterRun, type Checkpoint, type End, type RunEnds } from "../model/run-ends.ts";
import type { ClaimOutcome, EarlierRuns, HeldLock } from "../stores/store.ts";
import { exitCodeOf, isNotFound } from "./command-exit-code.ts";
import { type DoneFinding, findCheckpoint, findDone } from "./find-done.ts";
import { newestCheckpoint } from "./newest-checkpoint.ts";
import { endOf, type RuleNow } from "./run-end.ts";
import type { RunOutcome, RunRequest } from "./run-request.ts";

/** Counts one run: what came before it, and what its own end adds to that. */
export class RunCount {
  readonly #request: RunRequest;
  readonly #lock: HeldLock;
  readonly #beganAtMs = performance.now();
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
  async outcome(outcome: RunOutcome): Promise<ClaimOutcome> {
    const exitCode = outcome.kind === "ended" ? exitCodeOf(outcome.ending) : null;
    const end = this.#request.leads ? await this.#endOf(outcome) : null;
    if (end === null) return { exitCode };
    const seconds = Math.round(performance.now() - this.#beganAtMs) / 1000;
    const newest = await newestCheckpoint(this.#request);
    return { exitCode, ends: afterRun(this.before, { ...end, newest, seconds }) };
  }

  /** Null: no command was to run. */
  async #endOf(outcome: RunOutcome): Promise<{ readonly end: End; readonly lastExit: number } | null> {
    switch (outcome.kind) {
      case "not started":
        return { end: "failed", lastExit: isNotFound(outcome.errno) ? exitCodes.notFound : exitCodes.cannotExecute };
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

  async #rule(): Promise<RuleNow> {
    const { layout, configuration, done } = this.#request;
    // What cannot be looked at shows nothing, and must not take the command's own exit code from it.
    const holds = (finding: Promise<DoneFinding>) => finding.then(({ kind }) => kind === "done").catch(() => false);
    const when = done.patterns.length === 0 ? null : await holds(findCheckpoint(layout, configuration, done));
    if (done.file === null) return { when, any: when };
    return { when, any: await holds(findDone(layout, configuration, done)) };
  }
}

/** A killed run that left a newer checkpoint was not in vain. */
export function endsBefore({ ends, killed }: EarlierRuns, newest: Checkpoint): RunEnds {
  return killed === null ? { ...ends, ...newest } : afterKill(ends, newest);
}
