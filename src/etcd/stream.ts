import type { Connections } from "./connections.ts";
import { EtcdError } from "./errors.ts";
import { codes, tooLarge } from "./failures.ts";
import { type Request, send } from "./send.ts";

/** An answer that comes line by line, and need not end. */
export interface Stream {
  /** HTTP status of the answer, known with the first line. An answer that is empty, or no success, is one line. */
  readonly status: number;
  /** When something came last, on the clock of `performance.now()`. */
  readonly heardAt: number;
  /** The next line. Throws what ended the stream, once all lines before are read. */
  next(): Promise<string>;
  /** Ends it with an error of the caller's. */
  fail(error: unknown): void;
  end(): void;
}

const newline = 0x0a;

/** Sends a request whose time limit ends with the first line. At most `largestBytes` are kept for a reader that lags behind. */
export function openStream(connections: Connections, request: Request, largestBytes: number): Stream {
  const { endpoint } = request;
  const lines: string[] = [];
  let partial: Buffer[] = [];
  let kept = 0;
  let failure: { readonly error: unknown } | null = null;
  let wake: () => void = () => {};
  let status = 0;
  let begun = false;
  let heardAt = performance.now();
  const finishLine = () => {
    const line = Buffer.concat(partial).toString("utf8");
    partial = [];
    begun = true;
    lines.push(line);
    wake();
  };
  const fail = (error: unknown) => {
    failure ??= { error };
    wake();
  };
  const sent = send(connections, request, {
    status(received) {
      status = received;
    },
    data(chunk) {
      heardAt = performance.now();
      kept += chunk.length;
      if (kept > largestBytes) {
        sent.end();
        return fail(tooLarge(endpoint, largestBytes));
      }
      for (let rest = chunk; ; ) {
        const end = status === 200 ? rest.indexOf(newline) : -1;
        if (end < 0) {
          partial.push(rest);
          return;
        }
        partial.push(rest.subarray(0, end));
        rest = rest.subarray(end + 1);
        sent.unlimited();
        finishLine();
      }
    },
    ended() {
      if (partial.length > 0 || !begun) finishLine();
      fail(
        new EtcdError("unreachable", endpoint, `etcd at ${endpoint}: it ended the stream`, {
          code: codes.unreachable,
          hint: "is the member being stopped?",
          mayHaveHappened: true,
        }),
      );
    },
    failed: fail,
  });
  return {
    get status() {
      return status;
    },
    get heardAt() {
      return heardAt;
    },
    async next() {
      for (;;) {
        const line = lines.shift();
        if (line !== undefined) {
          kept -= Math.min(kept, Buffer.byteLength(line) + 1);
          return line;
        }
        if (failure !== null) throw failure.error;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    fail(error) {
      sent.end();
      fail(error);
    },
    end: () => sent.end(),
  };
}
