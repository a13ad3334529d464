import * as v from "valibot";
import { parseJson } from "../model/parse-json.ts";
import { type WatchAnswer, watchAnswer } from "./answers.ts";
import { base64 } from "./bytes.ts";
import type { WatchEvent } from "./client.ts";
import type { Endpoints } from "./endpoints.ts";
import { saidByEtcd } from "./failures.ts";
import { failureOf, type Gateway, largest } from "./gateway.ts";
import { LineStream } from "./stream.ts";

const path = "/v3/watch";

/**
 * What happens to a key from a revision on. Ends without an error when the signal aborts, and after a `compacted`; with an
 * EtcdError when the connection breaks, when the member stops, has lost the leader for three election timeouts, or does not
 * answer.
 */
export async function* watchKey(
  gateway: Gateway,
  endpoints: Endpoints,
  key: string,
  fromRevision: number,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  if (signal.aborted) return;
  let stop = () => {};
  try {
    const { endpoint, stream, created } = await begin(gateway, endpoints, key, fromRevision, signal);
    stream.checkWhileSilent();
    stop = () => stream.end();
    for (let answer = created; ; answer = await nextAnswer(endpoint, stream)) {
      for (const { type, kv } of answer.events) {
        if (signal.aborted) return;
        yield { kind: type === "PUT" ? "put" : "delete", key: kv.key.toString("utf8"), revision: kv.mod_revision };
      }
      if (answer.compact_revision > 0) {
        yield { kind: "compacted", revision: answer.compact_revision };
        return;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stop();
  }
}

interface Begun {
  readonly endpoint: string;
  readonly stream: LineStream;
  readonly created: WatchAnswer;
}

/** A watch that etcd has confirmed. */
function begin(
  { connections, login, cluster }: Gateway,
  endpoints: Endpoints,
  key: string,
  fromRevision: number,
  signal: AbortSignal,
): Promise<Begun> {
  // In fragments, so that there is a limit to the length of a line.
  const body = { create_request: { key: base64(key), start_revision: String(fromRevision), fragment: true } };
  return endpoints.inTurn({ signal }, async (endpoint, timeoutMs) => {
    await cluster.require(endpoint, timeoutMs);
    return login.withToken(endpoint, { timeoutMs, signal }, async (token, leftMs) => {
      const request = { endpoint, path, body, token, needsLeader: true, timeoutMs: leftMs, signal };
      const stream = new LineStream(connections, request, largest.page);
      try {
        const created = await nextAnswer(endpoint, stream);
        cluster.note(endpoint, created.header?.cluster_id ?? null);
        return { endpoint, stream, created };
      } catch (error) {
        stream.end();
        throw error;
      }
    });
  });
}

async function nextAnswer(endpoint: string, stream: LineStream): Promise<WatchAnswer> {
  const json = parseJson(await stream.next());
  const read = v.safeParse(watchAnswer, json);
  if (stream.status !== 200 || !read.success) throw failureOf(endpoint, path, stream.status, json);
  const { canceled, cancel_reason, compact_revision } = read.output.result;
  if (canceled && compact_revision === 0) {
    throw saidByEtcd(endpoint, { message: cancel_reason || "it ended the watch", code: null });
  }
  return read.output.result;
}
