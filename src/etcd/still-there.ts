import type { Connections } from "./connections.ts";
import { EtcdError } from "./errors.ts";
import { post } from "./post.ts";
import type { Stream } from "./stream.ts";

/** How long a stream may be silent before its server is asked whether it is there, and how long that may take, milliseconds. */
const silentMs = 3000;
const largestBytes = 2 ** 20;

/**
 * Asks the server of a silent stream for its status, over another connection, again and again; fails the stream where nothing
 * comes back. A server that is frozen, or a network that is gone, shows in no other way: etcd's own progress messages are ten
 * minutes apart. Any answer will do, and the leader's absence ends the stream by itself. Returns the end of the asking.
 */
export function keepAsking(connections: Connections, endpoint: string, stream: Stream): () => void {
  const over = new AbortController();
  const ask = async () => {
    const silence = performance.now() - stream.heardAt;
    if (silence < silentMs) return again(silentMs - silence);
    try {
      const path = "/v3/maintenance/status";
      const { signal } = over;
      const request = { endpoint, path, body: {}, token: null, needsLeader: false, timeoutMs: silentMs, signal };
      await post(connections, request, largestBytes);
      again(silentMs);
    } catch (error) {
      if (!over.signal.aborted) stream.fail(lost(endpoint, error));
    }
  };
  let timer: ReturnType<typeof setTimeout>;
  const again = (ms: number) => {
    timer = setTimeout(() => void ask(), ms);
    if (over.signal.aborted) clearTimeout(timer);
  };
  again(silentMs);
  return () => {
    over.abort();
    clearTimeout(timer);
  };
}

/** The same, without a hint that it was the question that failed: nothing was to be changed by it. */
function lost(endpoint: string, error: unknown): unknown {
  if (!(error instanceof EtcdError)) return error;
  return new EtcdError(error.reason, endpoint, `${error.message}: the watch is not to be relied on any more`, {
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    cause: error,
    mayHaveHappened: false,
  });
}
