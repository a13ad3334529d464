/** What follows from a lease's time to live; milliseconds. */
export interface LeaseTimes {
  readonly ttlMs: number;
  /** From one renewal to the next. */
  readonly renewEveryMs: number;
  /** The keeper reports so often that it is alive, and the wrapper looks for that. */
  readonly reportEveryMs: number;
  /** Without an answer for so long, the next endpoint is asked as well. */
  readonly askNextMs: number;
  /** How long an answer may take: over a slow line it comes late, and others are asked meanwhile. */
  readonly requestMs: number;
  /** After a failure, until the next attempt. */
  readonly retryMs: number;
  /** After the last confirmed renewal: the command is asked to stop. */
  readonly stopAfterMs: number;
  /** After the last confirmed renewal: nothing of the command is left. The server lets nobody else in before `ttlMs`. */
  readonly killAfterMs: number;
}

/** Between the last SIGKILL and the end of the lease, for a processor that is late. */
const leastSlackMs = 250;

/**
 * A quarter of the time to live is the margin. An outage that is shorter than the other three quarters loses nothing, even if
 * it begins just before a renewal and ends just after an attempt. The margin covers these delays and the time to stop the
 * command. See docs/etcd.md.
 */
export function leaseTimes(ttlMs: number): LeaseTimes {
  return {
    ttlMs,
    renewEveryMs: Math.min(ttlMs / 20, 10_000),
    reportEveryMs: Math.min(ttlMs / 20, 500),
    askNextMs: Math.min(ttlMs / 40, 2000),
    requestMs: Math.min(ttlMs * 0.4, 30_000),
    retryMs: Math.min(ttlMs / 50, 1000),
    stopAfterMs: ttlMs * 0.85,
    killAfterMs: ttlMs - Math.max(ttlMs / 40, leastSlackMs),
  };
}

export const leastTtlMs = 5_000;
export const longestTtlMs = 3_600_000;
