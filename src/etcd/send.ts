import type { ClientRequest } from "node:http";
import type { Connections } from "./connections.ts";
import { brokenConnection, noAnswer } from "./failures.ts";

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
  outgoing.on("close", () => broken(new Error("closed without an answer")));
  outgoing.on("response", (incoming) => {
    answering = true;
    if (over) return;
    receiver.status(incoming.statusCode ?? 0, incoming.headers.date);
    incoming.on("data", (chunk: Buffer) => over || receiver.data(chunk));
    incoming.on("error", broken);
    incoming.on("end", () => {
      if (!incoming.complete) broken(new Error("closed in the middle of an answer"));
      else if (finish()) receiver.ended();
    });
    incoming.on("close", () => broken(new Error("closed in the middle of an answer")));
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
