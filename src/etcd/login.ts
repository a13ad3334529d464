import type { EtcdAccess } from "./address.ts";
import type { CallLimits } from "./client.ts";
import { codes, hasCode } from "./failures.ts";

/** Asks an endpoint for a token. */
type Authenticate = (endpoint: string, name: string, password: string, timeoutMs: number) => Promise<string>;

/** What is left for one endpoint of a call's limits. */
type AttemptLimits = Omit<CallLimits, "timeoutMs"> & { readonly timeoutMs: number };

export interface Login {
  /** Carries out a request with a token, once more with a new one where etcd no longer knows it, unless `once` is asked for. */
  withToken<T>(
    endpoint: string,
    limits: AttemptLimits,
    send: (token: string | null, timeoutMs: number) => Promise<T>,
  ): Promise<T>;
}

/** Logs in at the first request, and again when the token has run out (simple tokens do after minutes, and with a restart). */
export function login({ user, password }: EtcdAccess, authenticate: Authenticate): Login {
  let current: Promise<string | null> | null = null;
  const token = (endpoint: string, timeoutMs: number): Promise<string | null> | null => {
    if (user === null || current !== null) return current;
    const asked = authenticate(endpoint, user, password ?? "", timeoutMs).catch((error: unknown) => {
      // As etcdctl has it: who brings a password is let in where nobody needs one.
      if (hasCode(error, codes.authenticationOff)) return null;
      if (current === asked) current = null;
      throw error;
    });
    current = asked;
    return asked;
  };
  return {
    async withToken(endpoint, { timeoutMs, once = false }, send) {
      const deadline = performance.now() + timeoutMs;
      const left = () => deadline - performance.now();
      const asked = token(endpoint, timeoutMs);
      try {
        return await send(await asked, left());
      } catch (error) {
        const isStale = hasCode(error, codes.staleToken) || hasCode(error, codes.noUser);
        if (asked === null || !isStale) throw error;
        if (current === asked) current = null;
        if (once) throw error;
      }
      return send(await token(endpoint, left()), left());
    },
  };
}
