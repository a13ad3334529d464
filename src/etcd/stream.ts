import { tellQuestion } from "../system/questions.ts";
import type { Connections } from "./connections.ts";
import { EtcdError } from "./errors.ts";
import { codes, tooLarge } from "./failures.ts";
import { post, type Request, type Sent, send } from "./http.ts";

const newline = 0x0a;
/** A stream that is silent for longer is checked, and the check may take as long, milliseconds. */
const silentMs = 3000;
const largestStatusBytes = 2 ** 20;

/**
 * An answer that comes line by line, and need not end. The request's time limit ends with the first line. At most `largestBytes`
 * are kept for a reader that lags behind.
 */
export class LineStream {
  /** HTTP status of the answer, known with the first line. An answer that is empty, or no success, is one line. */
  status = 0;
  readonly #connections: Connections;
  readonly #endpoint: string;
  readonly #largestBytes: number;
  readonly #sent: Sent;
  readonly #lines: string[] = [];
  readonly #over = new AbortController();
  #partial: Buffer[] = [];
  #keptBytes = 0;
  #hasBegun = false;
  #failure: { readonly error: unknown } | null = null;
  #wake: () => void = () => {};
  /** When something came last, on the clock of `performance.now()`. */
  #receivedAt = performance.now();
  #checking: ReturnType<typeof setTimeout> | undefined;

  constructor(connections: Connections, request: Request, largestBytes: number) {
    this.#connections = connections;
    this.#endpoint = request.endpoint;
    this.#largestBytes = largestBytes;
    const since = performance.now();
    const asked = ["etcd", "POST", `${request.endpoint}${request.path}`];
    this.#sent = send(connections, request, {
      status: (received) => {
        this.status = received;
        tellQuestion(since, { asked, ended: `HTTP ${received}, a stream`, said: [] });
      },
      data: (chunk) => this.#receive(chunk),
      ended: () => this.#finish(),
      failed: (error) => this.#stop(error),
    });
  }

  /** The next line. Throws what ended the stream, after all lines before it are read. */
  async next(): Promise<string> {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) {
        this.#keptBytes -= Math.min(this.#keptBytes, Buffer.byteLength(line) + 1);
        return line;
      }
      if (this.#failure !== null) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /**
   * Asks the server for its status over another connection whenever the stream is silent, and fails the stream where no answer
   * comes. A server that is frozen, or a network that is gone, shows in no other way: etcd's own progress messages are ten
   * minutes apart. Any answer will do, and the leader's absence ends the stream by itself.
   */
  checkWhileSilent(afterMs = silentMs): void {
    clearTimeout(this.#checking);
    if (!this.#over.signal.aborted) this.#checking = setTimeout(() => void this.#check(), afterMs);
  }

  end(): void {
    this.#over.abort();
    clearTimeout(this.#checking);
    this.#sent.end();
  }

  async #check(): Promise<void> {
    const silence = performance.now() - this.#receivedAt;
    if (silence < silentMs) return this.checkWhileSilent(silentMs - silence);
    const { signal } = this.#over;
    const question = { path: "/v3/maintenance/status", body: {}, token: null, needsLeader: false, timeoutMs: silentMs };
    try {
      await post(this.#connections, { endpoint: this.#endpoint, ...question, signal }, largestStatusBytes);
      this.checkWhileSilent();
    } catch (error) {
      if (signal.aborted) return;
      this.#sent.end();
      this.#stop(unreliable(this.#endpoint, error));
    }
  }

  #receive(chunk: Buffer): void {
    this.#receivedAt = performance.now();
    this.#keptBytes += chunk.length;
    if (this.#keptBytes > this.#largestBytes) {
      this.#sent.end();
      this.#stop(tooLarge(this.#endpoint, this.#largestBytes));
      return;
    }
    for (let rest = chunk; ; ) {
      const end = this.status === 200 ? rest.indexOf(newline) : -1;
      if (end < 0) {
        this.#partial.push(rest);
        return;
      }
      this.#partial.push(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      this.#sent.unlimited();
      this.#finishLine();
    }
  }

  #finishLine(): void {
    const line = Buffer.concat(this.#partial).toString("utf8");
    this.#partial = [];
    this.#hasBegun = true;
    this.#lines.push(line);
    this.#wake();
  }

  #finish(): void {
    if (this.#partial.length > 0 || !this.#hasBegun) this.#finishLine();
    const message = `etcd at ${this.#endpoint}: it ended the stream`;
    const hint = "is the member being stopped?";
    this.#stop(
      new EtcdError("unreachable", this.#endpoint, message, { code: codes.unreachable, hint, mayHaveHappened: true }),
    );
  }

  #stop(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }
}

/** The same failure, without a hint that it was the question for the status that failed: it was to change nothing. */
function unreliable(endpoint: string, error: unknown): unknown {
  if (!(error instanceof EtcdError)) return error;
  return new EtcdError(error.reason, endpoint, `${error.message}: the watch cannot be relied on any more`, {
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    cause: error,
    mayHaveHappened: false,
  });
}
