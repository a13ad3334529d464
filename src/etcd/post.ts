import type { Connections } from "./connections.ts";
import { tooLarge } from "./failures.ts";
import { type Request, send } from "./send.ts";

export interface Reply {
  readonly status: number;
  readonly text: string;
  /** The server's wall clock when it answered, milliseconds since the epoch, to a second; null: it did not say. */
  readonly dateMs: number | null;
}

/**
 * Sends one request and returns its whole answer. A request that went over an idle connection, and got no answer because the
 * server closed it, is sent once more over a new connection: no failure, but the server may have carried out the first one.
 * With `once` it is a failure, and the next call gets a new connection. Throws an EtcdError, also for an answer of more than
 * `largestBytes`, or the signal's reason.
 */
export async function post(
  connections: Connections,
  request: Request,
  largestBytes: number,
  once = false,
): Promise<Reply> {
  const began = performance.now();
  const first = await attempt(connections, request, largestBytes);
  if (!("stale" in first)) return first;
  connections.closeIdle();
  if (once) throw first.stale;
  const timeoutMs = request.timeoutMs - (performance.now() - began);
  const second = await attempt(connections, { ...request, timeoutMs }, largestBytes);
  if ("stale" in second) throw second.stale;
  return second;
}

/** An idle connection was gone when it was used again: what it failed with. */
interface Stale {
  readonly stale: unknown;
}

function attempt(connections: Connections, request: Request, largestBytes: number): Promise<Reply | Stale> {
  return new Promise((resolve, reject) => {
    let status = 0;
    let dateMs: number | null = null;
    let size = 0;
    const chunks: Buffer[] = [];
    const sent = send(connections, request, {
      status(received, date) {
        status = received;
        dateMs = Date.parse(date ?? "") || null;
      },
      data(chunk) {
        chunks.push(chunk);
        size += chunk.length;
        if (size <= largestBytes) return;
        sent.end();
        reject(tooLarge(request.endpoint, largestBytes));
      },
      ended: () => resolve({ status, text: Buffer.concat(chunks).toString("utf8"), dateMs }),
      failed: (error, stale) => (stale ? resolve({ stale: error }) : reject(error)),
    });
  });
}
