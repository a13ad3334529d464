import * as v from "valibot";
import { parseJson } from "../model/parse-json.ts";
import type { EtcdAccess, EtcdAddress } from "./address.ts";
import { authenticateAnswer, failureIn, statusAnswer } from "./answers.ts";
import type { CallLimits } from "./client.ts";
import { type Connections, connections } from "./connections.ts";
import type { Endpoints } from "./endpoints.ts";
import { EtcdError } from "./errors.ts";
import { codes, namedCertificate, notEtcd, saidByEtcd } from "./failures.ts";
import { post, type Reply } from "./http.ts";
import { type Login, login } from "./login.ts";
import { clusterIn, OneCluster } from "./one-cluster.ts";

const mebibyte = 2 ** 20;
/** Bytes of an answer that a hostile or mistaken server may fill our memory with. */
export const largest = { plain: mebibyte, withValues: 4 * mebibyte, page: 16 * mebibyte } as const;

/** A login ends with those who wait for it; setTimeout knows no longer time. */
const longestTimerMs = 2 ** 31 - 1;

export interface Call<Schema extends v.GenericSchema> {
  /** Under `/v3`. */
  readonly path: string;
  readonly body: unknown;
  readonly answer: Schema;
  readonly largestBytes?: number;
  /** True unless said otherwise. */
  readonly needsLeader?: boolean;
  readonly limits: CallLimits | undefined;
  /** Told how far the member's wall clock is ahead of ours, milliseconds. */
  readonly onClock?: (offsetMs: number) => void;
}

/** etcd's gRPC calls as JSON over HTTP, what etcd calls its gateway. */
export interface Gateway {
  readonly connections: Connections;
  readonly login: Login;
  readonly cluster: OneCluster;
  call<Schema extends v.GenericSchema>(endpoints: Endpoints, call: Call<Schema>): Promise<v.InferOutput<Schema>>;
}

/** `token` of a login, `clusterId` of the cluster: what another process of ours has found out. */
export function gateway(
  address: EtcdAddress,
  access: EtcdAccess,
  token: string | null,
  clusterId: string | null,
): Gateway {
  const connected = connections(address, access);
  const authenticate = async (endpoint: string, name: string, password: string, signal: AbortSignal) => {
    const path = "/v3/auth/authenticate";
    const request = {
      endpoint,
      path,
      body: { name, password },
      token: null,
      needsLeader: true,
      timeoutMs: longestTimerMs,
      signal,
    };
    const reply = await post(connected, request, largest.plain);
    return answerIn(endpoint, path, reply, parseJson(reply.text), authenticateAnswer).token;
  };
  const loggedIn = login(access, authenticate, token);
  const cluster = new OneCluster(address.endpoints, clusterId, async (endpoint, timeoutMs) => {
    const path = "/v3/maintenance/status";
    const request = { endpoint, path, body: {}, token: null, needsLeader: false, timeoutMs };
    const reply = await post(connected, request, largest.plain);
    const json = parseJson(reply.text);
    return clusterIn(answerIn(endpoint, path, reply, json, statusAnswer) && json);
  });
  return {
    connections: connected,
    login: loggedIn,
    cluster,
    call: (endpoints, { path, body, answer, largestBytes = largest.plain, needsLeader = true, limits = {}, onClock }) =>
      endpoints.inTurn(limits, async (endpoint, timeoutMs) => {
        const beganMs = performance.now();
        await cluster.require(endpoint, timeoutMs);
        const left = { ...limits, timeoutMs: timeoutMs - (performance.now() - beganMs) };
        return loggedIn.withToken(endpoint, left, async (token, leftMs) => {
          const { signal } = limits;
          const request = { endpoint, path: `/v3${path}`, body, token, needsLeader, timeoutMs: leftMs, signal };
          const reply = await post(connected, request, largestBytes, limits.once);
          if (reply.dateMs !== null) onClock?.(reply.dateMs - Date.now());
          const json = parseJson(reply.text);
          cluster.note(endpoint, clusterIn(json));
          return answerIn(endpoint, request.path, reply, json, answer);
        });
      }),
  };
}

/** Throws an EtcdError for anything but the answer expected. */
function answerIn<Schema extends v.GenericSchema>(
  endpoint: string,
  path: string,
  { status, text }: Reply,
  json: unknown,
  schema: Schema,
): v.InferOutput<Schema> {
  // To valibot a list is an object.
  const read = v.safeParse(schema, Array.isArray(json) ? null : json);
  if (status === 200 && read.success) return read.output;
  throw failureOf(endpoint, path, status, json, text);
}

/** What an answer that is not the one expected means. */
export function failureOf(endpoint: string, path: string, status: number, json: unknown, text = ""): EtcdError {
  const failure = failureIn(json);
  if (failure !== null) return saidByEtcd(endpoint, failure);
  if (text.startsWith("CommonName of client")) return namedCertificate(endpoint);
  if (status >= 502 && status <= 504) {
    return new EtcdError("unreachable", endpoint, `etcd at ${endpoint}: HTTP ${status} from something in front of it`, {
      code: codes.unreachable,
      hint: "check the proxy or load balancer there, or name the members themselves",
      mayHaveHappened: true,
    });
  }
  return notEtcd(endpoint, status === 200 ? `not an answer to ${path}` : `HTTP ${status} for ${path}`);
}
