import type { EtcdAccess } from "./address.ts";
import type { CallLimits } from "./client.ts";
import { codes, hasCode, noAnswer } from "./failures.ts";

/** Asks an endpoint for a token, for as long as the signal lets it. */
type Authenticate = (endpoint: string, name: string, password: string, signal: AbortSignal) => Promise<string>;

/** What is left for one endpoint of a call's limits. */
type AttemptLimits = Omit<CallLimits, "timeoutMs"> & { readonly timeoutMs: number };

export interface Login {
  /** The token in use; null: none yet, or none is needed. */
  token(): string | null;
  /** Carries out a request with a token, once more with a new one where etcd no longer knows it, unless `once` is asked for. */
  withToken<T>(
    endpoint: string,
    limits: AttemptLimits,
    send: (token: string | null, timeoutMs: number) => Promise<T>,
  ): Promise<T>;
}

/** Null: etcd knows no users. */
interface Known {
  readonly token: string | null;
}

/** A login under way, for all calls that wait for it. */
interface Asked {
  readonly answer: Promise<Known>;
  readonly end: AbortController;
  waiting: number;
}

/**
 * Logs in at the first request, and again when the token has run out (simple tokens do after minutes, and with a restart). A
 * token is good for all endpoints, but each is asked by those who want to use it: a silent one must not keep the others waiting.
 * `given`: one of another process of ours, used until it has run out.
 */
export function login({ user, password }: EtcdAccess, authenticate: Authenticate, given: string | null): Login {
  let known: Known | null = user === null ? { token: null } : given === null ? null : { token: given };
  const underWay = new Map<string, Asked>();

  const ask = (endpoint: string): Asked => {
    const end = new AbortController();
    const answer = authenticate(endpoint, user ?? "", password ?? "", end.signal)
      .catch((error: unknown) => {
        // As etcdctl has it: who brings a password is let in where nobody needs one.
        if (hasCode(error, codes.authenticationOff)) return null;
        throw error;
      })
      .then((token) => {
        known = { token };
        return known;
      })
      .finally(() => {
        if (underWay.get(endpoint) === asked) underWay.delete(endpoint);
      });
    const asked: Asked = { answer, end, waiting: 0 };
    underWay.set(endpoint, asked);
    return asked;
  };

  /** Each waits for as long as it may itself; who leaves last ends the login. */
  const logIn = async (endpoint: string, { timeoutMs, signal }: AttemptLimits): Promise<Known> => {
    if (known !== null) return known;
    const asked = underWay.get(endpoint) ?? ask(endpoint);
    asked.waiting += 1;
    try {
      return await within(asked.answer, endpoint, timeoutMs, signal);
    } finally {
      asked.waiting -= 1;
      if (asked.waiting === 0) {
        if (underWay.get(endpoint) === asked) underWay.delete(endpoint);
        asked.end.abort();
      }
    }
  };

  return {
    token: () => known?.token ?? null,
    async withToken(endpoint, limits, send) {
      const deadline = performance.now() + limits.timeoutMs;
      const left = () => deadline - performance.now();
      const used = await logIn(endpoint, limits);
      try {
        return await send(used.token, left());
      } catch (error) {
        const isStale = hasCode(error, codes.staleToken) || hasCode(error, codes.noUser);
        if (user === null || !isStale) throw error;
        if (known === used) known = null;
        if (limits.once === true) throw error;
      }
      const again = await logIn(endpoint, { ...limits, timeoutMs: left() });
      return send(again.token, left());
    },
  };
}

/** What is waited for, or an EtcdError after so long, or the reason of a signal that aborts. */
function within<T>(answer: Promise<T>, endpoint: string, timeoutMs: number, signal?: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => settle(() => reject(signal?.reason));
    const timer = setTimeout(() => settle(() => reject(noAnswer(endpoint, timeoutMs, true))), Math.max(timeoutMs, 0));
    const settle = (how: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      how();
    };
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    answer.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(error)),
    );
  });
}
