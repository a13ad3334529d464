import { sleepUnlessAborted, withJitter } from "../system/clock/sleep.ts";
import type { CallLimits } from "./client.ts";
import { type EtcdCause, EtcdError } from "./errors.ts";
import { noAnswer } from "./failures.ts";

export const defaultTimeoutMs = 5000;
const pauseMs = 200;

/** Causes that lie with one endpoint or one moment, the most telling first. All others are the cluster's answer. */
const passing: readonly EtcdCause[] = [
  "another cluster",
  "no leader",
  "too many requests",
  "certificate",
  "not etcd",
  "timeout",
  "refused",
  "unreachable",
];

export interface Endpoints {
  /** All of them, the one that answered last first. */
  inOrder(): readonly string[];
  /**
   * Asks one endpoint after the other, the one that answered last first, until one answers. What is left of the time is shared out
   * evenly among those yet to be asked. All are asked again, unless `once` is asked for, for as long as there is time and reason
   * to hope: an election, a load, a connection that broke. So a request may be carried out twice: what is asked for has to bear
   * that.
   */
  inTurn<T>(limits: CallLimits, attempt: (endpoint: string, timeoutMs: number) => Promise<T>): Promise<T>;
}

export function endpointsOf(endpoints: readonly string[]): Endpoints {
  let preferred = 0;
  return {
    inOrder: () => [...endpoints.slice(preferred), ...endpoints.slice(0, preferred)],
    async inTurn({ timeoutMs = defaultTimeoutMs, signal, once = false }, attempt) {
      const deadline = performance.now() + timeoutMs;
      const failures: EtcdError[] = [];
      for (;;) {
        const first = preferred;
        const round: EtcdError[] = [];
        for (let nth = 0; nth < endpoints.length; nth += 1) {
          const index = (first + nth) % endpoints.length;
          const endpoint = endpoints[index] ?? "";
          const leftMs = deadline - performance.now();
          if (leftMs <= 0) break;
          try {
            const answer = await attempt(endpoint, leftMs / (endpoints.length - nth));
            preferred = index;
            return answer;
          } catch (error) {
            if (!(error instanceof EtcdError)) throw error;
            round.push(error);
            if (!passing.includes(error.reason)) throw together([...failures, error], error);
          }
        }
        failures.push(...round);
        const leftMs = deadline - performance.now();
        if (once || leftMs < pauseMs || !round.some(mayPass)) throw worst(failures, endpoints[first] ?? "", timeoutMs);
        await sleepUnlessAborted(withJitter(pauseMs), signal ?? new AbortController().signal);
        signal?.throwIfAborted();
      }
    },
  };
}

function mayPass({ reason, mayHaveHappened }: EtcdError): boolean {
  return reason === "no leader" || reason === "too many requests" || (reason === "unreachable" && mayHaveHappened);
}

function worst(failures: readonly EtcdError[], endpoint: string, timeoutMs: number): EtcdError {
  const [telling = noAnswer(endpoint, timeoutMs, false)] = [...failures].sort(
    (a, b) => passing.indexOf(a.reason) - passing.indexOf(b.reason),
  );
  return together(failures, telling);
}

/** One failure for all: what any attempt may have done, and what the other endpoints said. */
function together(failures: readonly EtcdError[], telling: EtcdError): EtcdError {
  const others = new Map(failures.map(({ endpoint, reason }) => [endpoint, `${endpoint}: ${reason}`]));
  others.delete(telling.endpoint);
  const also = others.size === 0 ? "" : ` (and ${[...others.values()].join(", ")})`;
  return new EtcdError(telling.reason, telling.endpoint, `${telling.message}${also}`, {
    code: telling.code,
    ...(telling.hint === undefined ? {} : { hint: telling.hint }),
    cause: telling.cause ?? telling,
    mayHaveHappened: failures.some(({ mayHaveHappened }) => mayHaveHappened),
  });
}
