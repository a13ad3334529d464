import type { Acquisition, Turn } from "../locks/lock.ts";
import type { RunRequest } from "./run-request.ts";

/** Longer delays overflow a timer (setTimeout): 24 days are as good as no limit. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * Takes the claim, waiting for as long as was asked. Each attempt is a whole one: a wait tells that it is worth while, and
 * proves nothing. An unknown holder is waited for as well as a living one.
 */
export async function acquireOrWait(request: RunRequest, interrupted: AbortSignal): Promise<Acquisition> {
  const { store, configuration, argv, waitMs, tell } = request;
  let acquisition = await store.acquire(configuration, argv);
  if (acquisition.kind === "held" || acquisition.final || waitMs <= 0) return acquisition;
  const timeUp = new AbortController();
  const timer =
    waitMs > longestTimerMs ? setInterval(() => undefined, longestTimerMs) : setTimeout(() => timeUp.abort(), waitMs);
  const enough = AbortSignal.any([interrupted, timeUp.signal]);
  try {
    while (acquisition.kind === "busy" && !acquisition.final && !enough.aborted) {
      tell.waiting(acquisition.busy);
      const turn: Turn | null = await store.awaitTurn(configuration, acquisition.busy, enough);
      if (enough.aborted && turn === null) break;
      acquisition = await store.acquire(configuration, argv, turn);
    }
    return acquisition;
  } finally {
    clearTimeout(timer);
    tell.waited();
  }
}
