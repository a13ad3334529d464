import * as v from "valibot";
import type { Entry } from "./client.ts";

/** proto3's JSON mapping writes 64-bit numbers as strings, and leaves zeros out. */
const natural = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^\d{1,19}$/), v.transform(Number))]),
  v.safeInteger(),
  v.minValue(0),
);
const naturalOrZero = v.optional(natural, 0);
const id = v.pipe(
  v.union([v.string(), v.pipe(v.number(), v.safeInteger(), v.transform(String))]),
  v.regex(/^-?\d{1,20}$/),
);
const idOrNull = v.pipe(
  v.optional(id, "0"),
  v.transform((value) => (value === "0" ? null : value)),
);
const bytes = v.pipe(
  v.optional(v.string(), ""),
  v.transform((text) => Buffer.from(text, "base64")),
);
const word = v.pipe(v.string(), v.regex(/^[\w.+-]{1,64}$/));
/** There is no revision 0. An answer without one, and with nothing else in it, would seem to say that a key is not there. */
const header = v.object({ revision: v.pipe(natural, v.minValue(1)), member_id: v.optional(id, "0") });

const keyValue = v.object({
  key: bytes,
  value: bytes,
  create_revision: naturalOrZero,
  mod_revision: naturalOrZero,
  lease: idOrNull,
});
type KeyValue = v.InferOutput<typeof keyValue>;

const keyValues = v.optional(v.array(keyValue), []);

export const rangeAnswer = v.object({ header, kvs: keyValues, more: v.optional(v.boolean(), false) });

export const transactionAnswer = v.object({
  header,
  succeeded: v.optional(v.boolean(), false),
  responses: v.optional(v.array(v.object({ response_range: v.optional(v.object({ kvs: keyValues })) })), []),
});

export const grantAnswer = v.object({ ID: id, TTL: v.pipe(natural, v.minValue(1)) });

export const revokeAnswer = v.object({ header });

/** The first answer of a stream; a lease that is gone has no TTL. */
export const keepAliveAnswer = v.object({ result: v.object({ ID: id, TTL: naturalOrZero }) });

export const authenticateAnswer = v.object({ token: v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,8192}$/)) });

export const statusAnswer = v.object({ header, version: word, leader: idOrNull, dbSize: naturalOrZero });

export const alarmAnswer = v.object({
  alarms: v.optional(v.array(v.object({ memberID: v.optional(id, "0"), alarm: v.optional(word, "NONE") })), []),
});

export const watchAnswer = v.object({
  result: v.object({
    header: v.optional(v.object({ cluster_id: idOrNull })),
    created: v.optional(v.boolean(), false),
    canceled: v.optional(v.boolean(), false),
    compact_revision: naturalOrZero,
    cancel_reason: v.optional(v.string(), ""),
    events: v.optional(v.array(v.object({ type: v.optional(v.picklist(["PUT", "DELETE"]), "PUT"), kv: keyValue })), []),
  }),
});
export type WatchAnswer = v.InferOutput<typeof watchAnswer>["result"];

const failureDetails = v.object({
  message: v.string(),
  code: v.optional(v.number()),
  grpc_code: v.optional(v.number()),
});

/** `{error, message, code}` for a call; for a stream `{error: {message, grpc_code}}`, with `code` in newer versions. */
const failureAnswer = v.union([v.object({ error: failureDetails }), failureDetails]);

export interface Failure {
  readonly message: string;
  /** The status code of gRPC. */
  readonly code: number | null;
}

/** What an answer says went wrong; null: it is no such answer. */
export function failureIn(answer: unknown): Failure | null {
  const read = v.safeParse(failureAnswer, answer);
  if (!read.success) return null;
  const { message, code, grpc_code } = "error" in read.output ? read.output.error : read.output;
  return { message, code: grpc_code ?? code ?? null };
}

export function entryFrom(raw: KeyValue): Entry {
  return {
    key: raw.key.toString("utf8"),
    value: raw.value,
    createRevision: raw.create_revision,
    modRevision: raw.mod_revision,
    lease: raw.lease,
  };
}
