import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError } from "../model/errors.ts";
import { sleepUnlessAborted, withJitter } from "../system/clock/sleep.ts";
import { type Acquisition, type Attempt, attemptAt, type Busy, type LockStore } from "./store.ts";

/** Longer delays overflow a timer (setTimeout): 24 days are as good as no limit. */
const longestTimerMs = 2 ** 31 - 1;
/** Between attempts while the store does not answer. */
const retryMs = 2000;

export interface WaitRequest {
  readonly store: LockStore;
  readonly configuration: Configuration;
  readonly command: readonly string[] | null;
  /** How long to wait for a lock that another has, milliseconds; 0 not at all, Infinity without end. */
  readonly waitMs: number;
  /** Ends the wait before its time. */
  readonly interrupted?: AbortSignal;
  /** Called before each wait with the holder that is waited for. */
  readonly onBusy?: (busy: Busy) => void;
  /** Called once for each time that the store stops answering. */
  readonly onOutage?: (error: EnvironmentError) => void;
}

/**
 * Takes the lock, and waits for as long as was asked: the one wait of `run` and of the library. Each attempt is a whole one,
 * since the end of a wait proves nothing. An unknown holder is waited for like a living one, and so is a store that has
 * answered once and does not for a while. Returns the last busy answer when the time is over. Throws the store's
 * EnvironmentError when the first attempt fails, when waiting does not mend it, or when it still lasts when the time is over.
 */
export async function acquireOrWait(request: WaitRequest): Promise<Acquisition> {
  const { store, configuration, command, onBusy } = request;
  let acquisition = await store.acquire(configuration, command);
  const patienceMs = acquisition.kind === "busy" ? (acquisition.busy.patienceMs ?? 0) : 0;
  const waitMs = Math.max(request.waitMs, patienceMs);
  if (acquisition.kind === "held" || waitMs <= 0) return acquisition;
  const interrupted = request.interrupted ?? new AbortController().signal;
  const timeUp = new AbortController();
  const timer =
    waitMs > longestTimerMs ? setInterval(() => undefined, longestTimerMs) : setTimeout(() => timeUp.abort(), waitMs);
  const enough = AbortSignal.any([interrupted, timeUp.signal]);
  try {
    while (acquisition.kind === "busy" && acquisition.wait !== null && !enough.aborted) {
      onBusy?.(acquisition.busy);
      const attempt = await acquisition.wait(enough);
      if (attempt === null) return acquisition;
      acquisition = (await acquireDespiteOutage(request, attempt, { interrupted, enough })) ?? acquisition;
    }
    return acquisition;
  } finally {
    clearTimeout(timer);
  }
}

/** Makes the attempt again until the store answers; null when interrupted before that. */
async function acquireDespiteOutage(
  { store, configuration, command, onOutage }: WaitRequest,
  waited: Attempt,
  { interrupted, enough }: { readonly interrupted: AbortSignal; readonly enough: AbortSignal },
): Promise<Acquisition | null> {
  for (let attempt = waited; ; attempt = attemptAt(store, configuration, command)) {
    try {
      return await attempt.acquire();
    } catch (error) {
      if (!(error instanceof EnvironmentError && error.transient)) throw error;
      if (attempt === waited) onOutage?.(error);
      await sleepUnlessAborted(withJitter(retryMs), enough);
      if (interrupted.aborted) return null;
      if (enough.aborted) throw error;
    }
  }
}
