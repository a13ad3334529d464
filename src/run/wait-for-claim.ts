import { EnvironmentError } from "../model/errors.ts";
import type { Acquisition, Turn } from "../stores/store.ts";
import { sleepUnlessAborted, withJitter } from "../system/clock/sleep.ts";
import type { RunRequest } from "./run-request.ts";

/** Longer delays overflow a timer (setTimeout): 24 days are as good as no limit. */
const longestTimerMs = 2 ** 31 - 1;
/** Between attempts while the store does not answer. */
const retryMs = 2000;

/**
 * Takes the claim, waiting for as long as was asked. Each attempt is a whole one: a wait tells that it is worth while, and
 * proves nothing. An unknown holder is waited for as well as a living one, and so is a store that has answered once and does
 * not for a while.
 */
export async function acquireOrWait(request: RunRequest, interrupted: AbortSignal): Promise<Acquisition> {
  const { store, configuration, argv, waitMs, tell } = request;
  let acquisition = await store.acquire(configuration, argv);
  if (acquisition.kind === "held" || acquisition.final || waitMs <= 0) return acquisition;
  const timeUp = new AbortController();
  const timer =
    waitMs > longestTimerMs ? setInterval(() => undefined, longestTimerMs) : setTimeout(() => timeUp.abort(), waitMs);
  const enough = AbortSignal.any([interrupted, timeUp.signal]);
  const tryAgain = async (before: Acquisition, turn: Turn | null): Promise<Acquisition> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await store.acquire(configuration, argv, attempt === 1 ? turn : null);
      } catch (error) {
        if (!(error instanceof EnvironmentError && error.transient)) throw error;
        if (attempt === 1) tell.warning(`the store does not answer, still waiting: ${error.message}`);
        await sleepUnlessAborted(withJitter(retryMs), enough);
        if (interrupted.aborted) return before;
        if (enough.aborted) throw error;
      }
    }
  };
  try {
    while (acquisition.kind === "busy" && !acquisition.final && !enough.aborted) {
      tell.waiting(acquisition.busy);
      const turn: Turn | null = await store.awaitTurn(configuration, acquisition.busy, enough);
      if (enough.aborted && turn === null) break;
      acquisition = await tryAgain(acquisition, turn);
    }
    return acquisition;
  } finally {
    clearTimeout(timer);
    tell.waited();
  }
}
