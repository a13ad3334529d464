import { bootMs } from "../../system/clock/boot-time.ts";
import { sleep } from "../../system/clock/sleep.ts";
import { KnownTree } from "../../system/processes/known-tree.ts";
import { groupMembers } from "../../system/processes/process-group.ts";
import {
  descendantsOf,
  type ProcessIdentity,
  readProcessTable,
  readTreeProcess,
  sameProcess,
  type TreeProcess,
} from "../../system/processes/process-tree.ts";
import { stopTree } from "../../system/processes/stop-tree.ts";
import { carriersOf } from "../../system/processes/training-processes.ts";
import type { GuardRules, WrapperFacts } from "./keeper-messages.ts";

/** A running wrapper reports within this time that it stops its command itself. */
const wrapperPatienceMs = 300;
/** How long after the start of a process its environment may be unreadable. */
const startPatienceMs = 1000;
/** A process that is ending has this long to be gone. */
const endPatienceMs = 300;
const lookEveryMs = 100;
/**
 * A training may outlast its wrapper by days: looking for its processes takes at most 2 % of a processor, and never waits longer
 * than this.
 */
const longestPauseMs = 2000;
const lookShare = 50;

/**
 * Watches the command of a claim from the keeper. It ends the command's whole process tree before the lease can be another's,
 * even if the wrapper is stopped or gone.
 */
export class CommandGuard {
  readonly #rules: GuardRules | null;
  readonly #wrapper: WrapperFacts;
  readonly #tree = new KnownTree();
  #token: string | null = null;
  #group: number | null = null;
  /** When the command was started, in clock ticks from boot. */
  #begunTicks: number | null = null;
  #wrapperStopsIt = false;
  #wrapperIsGone = false;
  #commandHasEnded = false;

  /** `rules` null: there is no command, but a program that looks after itself. */
  constructor(rules: GuardRules | null, wrapper: WrapperFacts) {
    this.#rules = rules;
    this.#wrapper = wrapper;
  }

  /** The claim's token stands in the environment of its command: that finds processes which were never noted. */
  addToken(token: string): void {
    this.#token = token;
  }

  /** The process group that the command was started as. */
  addGroup(group: number): void {
    this.#group = group;
    this.#begunTicks ??= readTreeProcess(group)?.startTimeTicks ?? null;
  }

  /** The command's tree as its wrapper sees it now. */
  addTree(processes: readonly ProcessIdentity[]): void {
    this.#tree.learn(processes);
  }

  wrapperStopsIt(): void {
    this.#wrapperStopsIt = true;
  }

  /**
   * Ends the command's tree: SIGTERM unless the wrapper sends it, SIGKILL to what is left at `stopByMs` (milliseconds since boot).
   */
  async stop(stopByMs: number): Promise<void> {
    if (this.#rules === null || !this.#rules.stops) return;
    if (!this.#wrapperIsGone) await sleep(wrapperPatienceMs);
    const killAtMs = Math.min(bootMs() + this.#rules.killAfterMs, stopByMs);
    const mayAsk = () => !this.#wrapperStopsIt;
    // Nothing may live on without the lock: a process that is stuck in the kernel is killed again when it returns.
    const living = () => {
      this.#tree.learn(this.#belowWrapper());
      return this.#living();
    };
    while ((await stopTree(living, Math.max(0, killAtMs - bootMs()), mayAsk)).length > 0);
  }

  /** The command has ended. Resolves with what still runs of it: daemons, workers in sessions of their own. */
  async leftovers(): Promise<readonly number[]> {
    this.#commandHasEnded = true;
    const giveUpAtMs = bootMs() + endPatienceMs;
    for (;;) {
      const left = this.#living();
      if (left.length === 0 || bootMs() >= giveUpAtMs) return left.map(({ pid }) => pid);
      await sleep(lookEveryMs / 4);
    }
  }

  /** The wrapper is gone, or has finished: resolves when nothing of the command runs. */
  async outlast(): Promise<void> {
    this.#wrapperIsGone = true;
    this.#wrapperStopsIt = false;
    const sinceMs = bootMs();
    while (this.#rules !== null) {
      const mayJustStart = this.#group === null && !this.#commandHasEnded && bootMs() - sinceMs < startPatienceMs;
      const lookedAtMs = performance.now();
      if (!mayJustStart && this.#living().length === 0) return;
      const tookMs = performance.now() - lookedAtMs;
      await sleep(Math.min(Math.max(2 * lookEveryMs, lookShare * tookMs), longestPauseMs));
    }
  }

  /**
   * What a wrapper that is stopped does not tell: the orphans of its command are its children. What it had started before the
   * command, this process too, is no part of that.
   */
  #belowWrapper(): TreeProcess[] {
    const [wrapper, begunTicks] = [this.#wrapper, this.#begunTicks];
    const table = readProcessTable();
    if (begunTicks === null || !sameProcess(wrapper, table.get(wrapper.pid))) return [];
    return descendantsOf(wrapper.pid, table, ({ pid, parent, startTimeTicks }) => {
      return pid === process.pid || (parent === wrapper.pid && startTimeTicks < begunTicks);
    });
  }

  #living(): TreeProcess[] {
    if (this.#rules === null) return [];
    const carriers =
      this.#token === null ? [] : carriersOf(this.#token, this.#wrapper.job).filter((pid) => pid !== process.pid);
    this.#tree.learn(carriers.flatMap((pid) => readTreeProcess(pid) ?? []));
    if (this.#group !== null) this.#tree.learn(groupMembers(this.#group));
    return this.#tree.living();
  }
}
