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
 * One request and its whole answer. An idle connection that the server closed meanwhile is no failure: the request goes out
 * once more, over a new one. Throws an EtcdError, also for an answer of more than `largestBytes`, or the signal's reason.
 */
export async function post(connections: Connections, request: Request, largestBytes: number): Promise<Reply> {
  const began = performance.now();
  const first = await attempt(connections, request, largestBytes);
  if (first !== "stale") return first;
  connections.closeIdle();
  const timeoutMs = request.timeoutMs - (performance.now() - began);
  const second = await attempt(connections, { ...request, timeoutMs }, largestBytes, true);
  if (second === "stale") throw new Error("the last attempt has an outcome");
  return second;
}

function attempt(
  connections: Connections,
  request: Request,
  largestBytes: number,
  last = false,
): Promise<Reply | "stale"> {
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
      failed: (error, stale) => (stale && !last ? resolve("stale") : reject(error)),
    });
  });
}
