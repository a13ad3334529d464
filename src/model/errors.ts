/** Exit codes of the executable; scripts branch on them, so a number once given keeps its meaning. */
export const exitCodes = {
  ok: 0,
  locked: 1,
  usage: 2,
  environment: 3,
  alreadyTrained: 4,
  lockLost: 74,
  lockedByAnother: 75,
  cannotExecute: 126,
  notFound: 127,
  signalBase: 128,
} as const;

export interface ErrorDetails {
  /** Stable and machine readable: `ERR_…` for our own, an errno name such as `ENOLCK` for the system's. */
  readonly code: string;
  /** What to do about it, one sentence. */
  readonly hint?: string;
  /** It may be over in a moment: a caller that waits may try again. */
  readonly transient?: boolean;
  readonly cause?: unknown;
}

/** A broken thing, as opposed to contention, which is a value. Carries what a person needs and its own exit code. */
export class TrainlockError extends Error {
  override readonly name: string = "TrainlockError";
  readonly code: string;
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(message: string, exitCode: number, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.hint = details.hint;
    this.exitCode = exitCode;
  }
}

/** The call is wrong: nothing was done. Exit code 2. */
export class UsageError extends TrainlockError {
  override readonly name = "UsageError";
  constructor(message: string, details: Partial<ErrorDetails> = {}) {
    super(message, exitCodes.usage, { code: "ERR_USAGE", ...details });
  }
}

/** The world is wrong (no such root, no permission, no locks on this file system): nothing was started. Exit code 3. */
export class EnvironmentError extends TrainlockError {
  override readonly name = "EnvironmentError";
  readonly transient: boolean;
  constructor(message: string, details: ErrorDetails) {
    super(message, exitCodes.environment, details);
    this.transient = details.transient ?? false;
  }
}

/** The lock is another's by now, or it cannot be known whose it is: stop what it protects. Exit code 74. */
export class LockLostError extends TrainlockError {
  override readonly name = "LockLostError";
  /**
   * How long who held it has to stop, milliseconds from now: nobody else begins before, or one has and it is short; null: not
   * known.
   */
  readonly stopWithinMs: number | null;
  constructor(message: string, { stopWithinMs = null }: { readonly stopWithinMs?: number | null } = {}) {
    super(message, exitCodes.lockLost, { code: "ERR_LOCK_LOST", hint: "stop: another may have begun" });
    this.stopWithinMs = stopWithinMs;
  }
}

/** What was thrown, in words; anything may be. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
