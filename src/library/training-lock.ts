import type { ChildProcess } from "node:child_process";
import { Writable } from "node:stream";
import { makeExamine } from "../evidence/examine.ts";
import { remoteOptionsOf } from "../evidence/remote/options.ts";
import { checkConfiguration, lookAtFiles } from "../listing/check-configuration.ts";
import { type Configuration, parseConfiguration } from "../model/configuration.ts";
import { exitCodes, LockLostError, UsageError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import type { Holder } from "../model/holder.ts";
import type { Layout } from "../site/layout.ts";
import { configurationFor, configVariable, openSite } from "../site/open-site.ts";
import { rootArguments } from "../site/root.ts";
import { openStore } from "../stores/open-store.ts";
import { examineWithRanks } from "../stores/ranks/examine-with-ranks.ts";
import type { Busy, HeldLock } from "../stores/store.ts";
import { acquireOrWait } from "../stores/wait-for-lock.ts";
import { LockHistory } from "./lock-history.ts";
import { requireCommand, spawnTraining, type TrainingOptions } from "./spawn.ts";

export interface TrainingLockOptions {
  readonly strategy: string;
  readonly dataset: string;
  readonly model: string;
  /** Share of generated data, 0 to 1. */
  readonly ratio?: number | null;
  readonly auxLoss?: string | null;
  readonly stage?: number | string | null;
  /** Values of what the site declares beyond these, by name. */
  readonly dimensions?: Readonly<Record<string, string | number>>;
  /** The shared folder; else the environment's TRAINLOCK_ROOT, AWARE_DATA_ROOT or PROVE_ROOT. */
  readonly root?: string;
  /** The folder of the kernel locks; else `training_locks` in the root. */
  readonly lockDir?: string;
  /** The site's file; else the environment's TRAINLOCK_CONFIG, else `trainlock.yaml` in the root. */
  readonly config?: string;
  /**
   * Where locks are kept, such as `etcd://host:2379`; else the environment's TRAINLOCK_STORE, else the site's file, else on the
   * file system.
   */
  readonly store?: string;
}

export interface AcquireOptions {
  /** Wait for the lock. */
  readonly blocking?: boolean;
  /** How long to wait at most, seconds; -1 or Infinity: without a limit. */
  readonly timeout?: number;
}

/**
 * The lock of one configuration, kernel lock and marker together, held by this process.
 *
 * ```ts
 * await using lock = new TrainingLock({ strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50" });
 * if (await lock.acquire()) await train({ signal: lock.lost });
 * ```
 */
export class TrainingLock {
  readonly #layout: Layout;
  /** The site's file by its absolute path, where one is named. */
  readonly #configFile: string | null;
  readonly #configuration: Configuration;
  readonly #examine: Examine;
  readonly #history: LockHistory;
  #held: HeldLock | null = null;
  #acquiring: Promise<boolean> | null = null;
  #lost: AbortSignal = new AbortController().signal;

  /** Throws a UsageError for names that are none, an EnvironmentError when the root is not there. */
  constructor(options: TrainingLockOptions) {
    requireTypes(options);
    parseConfiguration(options);
    const { layout, file } = openSite(options, process.env, rootArguments.library);
    this.#layout = layout;
    const isNamed = options.config !== undefined || (process.env[configVariable] ?? "") !== "";
    this.#configFile = isNamed ? file : null;
    this.#configuration = configurationFor(this.#layout, options);
    this.#history = new LockHistory(this.#layout, this.#configuration);
    const { site } = this.#layout;
    this.#examine = examineWithRanks(makeExamine(remoteOptionsOf(site)), site.lockPrimitive);
  }

  /**
   * Takes the lock; false when another has it (after `timeout` seconds, if `blocking`). Throws an EnvironmentError when the file
   * system cannot keep locks, or when the store does not answer, and a UsageError for a timeout that is none; a store that falls
   * silent during the wait is waited for until the time is over. A lock that this object holds already stays held: true.
   */
  acquire(options: AcquireOptions = {}): Promise<boolean> {
    this.#acquiring ??= this.#acquire(options).finally(() => {
      this.#acquiring = null;
    });
    return this.#acquiring;
  }

  async #acquire({ blocking = false, timeout = 60 }: AcquireOptions): Promise<boolean> {
    const waitMs = blocking ? waitOf(timeout) : 0;
    if (this.#held !== null) {
      if (!this.#held.lost.aborted) return true;
      await this.release();
    }
    const store = await openStore(this.#layout, this.#examine, {
      lookAtFiles: (of) => lookAtFiles(this.#layout, of, this.#examine),
    });
    const onBusy = (busy: Busy) => this.#history.refused(busy);
    const acquisition = await acquireOrWait({
      store,
      configuration: this.#configuration,
      command: null,
      waitMs,
      onBusy,
    });
    if (acquisition.kind === "busy") {
      this.#history.refused(acquisition.busy);
      return false;
    }
    this.#history.claimed(acquisition.lock);
    this.#held = acquisition.lock;
    this.#lost = acquisition.lock.lost;
    return true;
  }

  /**
   * Starts a command as `trainlock run` does, under a helper process that holds the lock and knows the command's whole
   * process tree: whatever becomes of this program, the lock is held for as long as the training lives. A lock that this
   * object holds goes over to the helper. Returns the helper. Its exit code is that of `trainlock run`: 75 if another has the
   * lock, 74 if the lock was lost. It passes signals on to the command. Throws a UsageError for what is no command, an
   * EnvironmentError where the executable is missing.
   */
  spawn(command: string, args: readonly string[] = [], options: TrainingOptions = {}): ChildProcess {
    const argv = requireCommand(command, args);
    const held = this.#held;
    const site = { layout: this.#layout, configFile: this.#configFile };
    const helper = spawnTraining(site, this.#configuration, argv, options, held && (held.handedOver ?? []));
    // Its error event says why.
    if (helper.pid === undefined) return helper;
    const lost = new AbortController();
    this.#lost = lost.signal;
    helper.once("exit", (code) => {
      if (code === exitCodes.lockLost) lost.abort(new LockLostError("the lock was lost while the command ran"));
    });
    if (held === null) return helper;
    this.#held = null;
    const open = () => helper.stdio.findLast((stream) => stream instanceof Writable)?.destroy();
    const given = held.handOver === undefined ? held.release() : held.handOver();
    void given.then(open, open);
    void this.#history.ended(held, "handed over");
    return helper;
  }

  /** Gives the lock back. Does nothing when it is not held. */
  async release(): Promise<void> {
    const held = this.#held;
    this.#held = null;
    if (held === null) return;
    await held.release();
    await this.#history.ended(held, "released");
  }

  /**
   * Asks whether this object holds the lock at this moment: before a checkpoint is put in its place. Throws a LockLostError
   * when it does not, and also when that cannot be known.
   */
  async assertHeld(): Promise<void> {
    if (this.#held === null) throw new LockLostError("the lock has not been acquired, or has been released");
    await this.#held.assertHeld();
  }

  /** Whether another has it, or may have it: what cannot be known counts as locked. */
  async isLocked(): Promise<boolean> {
    if (this.#held !== null && !this.#held.lost.aborted) return false;
    return (await checkConfiguration(this.#layout, this.#configuration, this.#examine)).lockedBy !== null;
  }

  /** Who has it, this process included; null when nobody has, or when nothing is known of the holder. */
  async getLockHolder(): Promise<Holder | null> {
    return (await checkConfiguration(this.#layout, this.#configuration, this.#examine)).lockedBy?.holder ?? null;
  }

  /** Aborts when the lock that was acquired last is lost: stop training, another may have begun. */
  get lost(): AbortSignal {
    return this.#lost;
  }

  /** The fencing token of the lock that is held: grows with every claim of the configuration. Null: not held. */
  get generation(): number | null {
    return this.#held?.generation ?? null;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

function waitOf(timeout: number): number {
  if (typeof timeout === "number" && !Number.isNaN(timeout))
    return timeout < 0 ? Number.POSITIVE_INFINITY : timeout * 1000;
  throw new UsageError(`timeout ${String(timeout)} is not a number of seconds`, {
    hint: "acquire({ blocking: true, timeout: 600 }); -1 waits without a limit",
  });
}

const names = ["strategy", "dataset", "model", "auxLoss"] as const;

/** For programs without a type checker. Throws a UsageError. */
export function requireTypes(options: TrainingLockOptions): void {
  for (const name of names) {
    const value: unknown = options[name];
    if (typeof value === "string" || value === undefined || value === null) continue;
    throw new UsageError(`${name} ${String(value)} is not a text`, { hint: `for example ${name}: "${String(value)}"` });
  }
  const { stage } = options;
  if (typeof stage !== "number" || (Number.isSafeInteger(stage) && stage >= 0 && stage < 1e9)) return;
  throw new UsageError(`stage ${stage} is not a number from 0 to 999999999`, {
    hint: 'a text names a stage, too: stage: "pilot"',
  });
}
