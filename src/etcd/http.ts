import type { ClientRequest } from "node:http";
import { messageOf } from "../model/errors.ts";
import { tellQuestion } from "../system/questions.ts";
import type { Connections } from "./connections.ts";
import { brokenConnection, noAnswer, tooLarge } from "./failures.ts";

export interface Request {
  readonly endpoint: string;
  readonly path: string;
  readonly body: unknown;
  readonly token: string | null;
  /** The member is to turn it down at once where it knows no leader, instead of waiting for one. */
  readonly needsLeader: boolean;
  /** Milliseconds until the answer is complete; for a stream, until {@link Sent.unlimited}. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What comes back. After `ended` or `failed` nothing more does. */
export interface Receiver {
  /** `date`: the server's clock, as HTTP's header has it. */
  status(status: number, date: string | undefined): void;
  data(chunk: Buffer): void;
  ended(): void;
  /** With an EtcdError, or with the reason of an aborted signal. `stale`: an idle connection was gone when it was used again. */
  failed(error: unknown, stale: boolean): void;
}

export interface Sent {
  unlimited(): void;
  /** Drops connection and receiver. */
  end(): void;
}

const cutShort = "closed in the middle of an answer";

/** Sends one request. Throws what {@link Connections.begin} throws, and the reason of a signal that has aborted. */
export function send(connections: Connections, request: Request, receiver: Receiver): Sent {
  const { endpoint, timeoutMs, signal } = request;
  signal?.throwIfAborted();
  const body = JSON.stringify(request.body);
  const outgoing = connections.begin(endpoint, request.path, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...(request.token === null ? {} : { authorization: request.token }),
    // The gateway makes gRPC metadata of it (etcd's rpctypes.MetadataRequireLeaderKey).
    ...(request.needsLeader ? { "grpc-metadata-hasleader": "true" } : {}),
  });
  const hasLeft = watchLeaving(outgoing);
  let over = false;
  let answering = false;
  const finish = (): boolean => {
    if (over) return false;
    over = true;
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    return true;
  };
  const giveUp = (error: unknown, stale = false) => {
    if (!finish()) return;
    outgoing.destroy();
    receiver.failed(error, stale);
  };
  const broken = (error: unknown) => {
    const failure = brokenConnection(endpoint, error, hasLeft(), connections.secure);
    if (failure.reason === "certificate") connections.renew();
    giveUp(failure, outgoing.reusedSocket && !answering);
  };
  const abort = () => giveUp(signal?.reason);
  const timer = setTimeout(() => giveUp(noAnswer(endpoint, timeoutMs, hasLeft())), Math.max(timeoutMs, 0));
  signal?.addEventListener("abort", abort, { once: true });

  outgoing.on("error", broken);
  outgoing.on("close", () => broken(new Error(answering ? cutShort : "closed without an answer")));
  outgoing.on("response", (incoming) => {
    answering = true;
    if (over) return;
    receiver.status(incoming.statusCode ?? 0, incoming.headers.date);
    incoming.on("data", (chunk: Buffer) => over || receiver.data(chunk));
    incoming.on("error", broken);
    incoming.on("end", () => {
      if (!incoming.complete) broken(new Error(cutShort));
      else if (finish()) receiver.ended();
    });
    incoming.on("close", () => broken(new Error(cutShort)));
  });
  outgoing.end(body);
  return {
    unlimited: () => clearTimeout(timer),
    end: () => {
      if (finish()) outgoing.destroy();
    },
  };
}

/** Tells whether a request had a connection to leave by. Where in doubt it had. */
function watchLeaving(outgoing: ClientRequest): () => boolean {
  let left = false;
  outgoing.once("socket", (socket) => {
    if (outgoing.reusedSocket || !socket.connecting) left = true;
    else
      socket.once("encrypted" in socket ? "secureConnect" : "connect", () => {
        left = true;
      });
  });
  return () => left;
}

export interface Reply {
  readonly status: number;
  readonly text: string;
  /** The server's wall clock when it answered, milliseconds since the epoch, to a second; null: it did not say. */
  readonly dateMs: number | null;
}

/**
 * Sends one request and returns its whole answer. If the server closes an idle connection under a request, the request is
 * sent once more over a new connection. That is no failure, but the server may have carried out the first one. With `once` it
 * is a failure, and the next call gets a new connection. Throws an EtcdError, also for an answer of more than `largestBytes`,
 * or the signal's reason.
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

async function attempt(connections: Connections, request: Request, largestBytes: number): Promise<Reply | Stale> {
  const since = performance.now();
  const asked = ["etcd", "POST", `${request.endpoint}${request.path}`];
  try {
    const reply = await exchange(connections, request, largestBytes);
    // Neither question nor answer is shown: passwords, tokens and records are in them.
    const ended = "stale" in reply ? "an idle connection was gone" : `HTTP ${reply.status}, ${reply.text.length} bytes`;
    tellQuestion(since, { asked, ended, said: "stale" in reply || reply.status === 200 ? [] : [reply.text] });
    return reply;
  } catch (error) {
    tellQuestion(since, { asked, ended: "failed", said: [messageOf(error)] });
    throw error;
  }
}

function exchange(connections: Connections, request: Request, largestBytes: number): Promise<Reply | Stale> {
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
