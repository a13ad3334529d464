import * as v from "valibot";
import { parseJson } from "../model/parse-json.ts";
import { isPid } from "../model/pid.ts";

/** What python/training_lock.py and this executable have agreed on. Another number is another dialogue. */
export const protocolVersion = 1;

const text = v.pipe(v.string(), v.maxLength(65_536));
const nullable = <T>(schema: v.GenericSchema<unknown, T>) => v.nullish(schema, null);

/** The configuration with the types that the program gave: stage 1 and stage "1" are two names. */
const configuration = v.object({
  strategy: text,
  dataset: text,
  model: text,
  ratio: nullable(v.number()),
  aux_loss: nullable(text),
  stage: nullable(v.union([v.pipe(v.number(), v.safeInteger(), v.minValue(0)), text])),
  dimensions: v.nullish(v.record(text, v.union([v.number(), text])), {}),
});

const place = { protocol: v.literal(protocolVersion), root: nullable(text), lock_dir: nullable(text) };
const kind = v.picklist(["file", "fcntl", "etcd"]);

/** Of a grid's row: what shows it to be done, and how many failed runs use it up. Null: it is no row of a grid. */
const row = nullable(
  v.object({
    when: v.array(text),
    min_size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
    file: nullable(text),
    max_attempts: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  }),
);

const request = v.variant("do", [
  v.object({
    ...place,
    do: v.literal("acquire"),
    configuration,
    token: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
    pid: v.pipe(v.number(), v.check(isPid)),
    command: v.array(text),
    row,
    /** It has asked before in the same call. */
    asks_again: v.nullish(v.boolean(), false),
  }),
  v.object({ ...place, do: v.literal("paths"), configuration }),
  v.object({ ...place, do: v.literal("check"), configuration }),
  /** Whether the claim of this token, around the program, is held in the store. */
  v.object({ ...place, do: v.literal("held"), configuration, claim: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)) }),
  v.object({ ...place, do: v.literal("list"), kinds: v.array(kind), verify: v.boolean() }),
  v.object({ ...place, do: v.literal("clear"), kinds: v.array(kind), dry_run: v.boolean(), force: v.boolean() }),
]);

export type PythonRequest = v.InferOutput<typeof request>;
export type RequestOf<D extends PythonRequest["do"]> = Extract<PythonRequest, { readonly do: D }>;

/** Null: not a request of this version. */
export function parseRequest(line: string): PythonRequest | null {
  const result = v.safeParse(request, parseJson(line));
  return result.success ? result.output : null;
}

/** What Python says of the lock file that it was asked to open and lock. */
const lockAnswer = v.variant("answer", [
  /** The descriptor comes with the line. */
  v.object({ answer: v.literal("locked"), created: v.boolean() }),
  v.object({ answer: v.literal("busy") }),
  /** Another object of the program holds this very lock. */
  v.object({ answer: v.literal("own") }),
  /** There is nothing to lock here: go on without. */
  v.object({ answer: v.literal("unlocked") }),
  v.object({
    answer: v.literal("failed"),
    step: v.picklist(["open", "lock"]),
    errno: v.pipe(v.string(), v.regex(/^E[A-Z0-9]{1,20}$/)),
    why: nullable(text),
  }),
]);

export type LockAnswer = v.InferOutput<typeof lockAnswer>;

export function parseLockAnswer(line: string): LockAnswer | null {
  const result = v.safeParse(lockAnswer, parseJson(line));
  return result.success ? result.output : null;
}
