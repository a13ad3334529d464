import { durationMs } from "../model/durations.ts";
import { UsageError } from "../model/errors.ts";
import {
  fileKeys,
  type Key,
  refuseForNothing,
  requireOwnSecrets,
  requireWhole,
  type StoreFile,
  type StoreOrigins,
  type Values,
} from "./store-checks.ts";
import {
  addressProblem,
  defaultTtlMs,
  isPlainPath,
  isStoreUser,
  isTtl,
  type StoreSettings,
  storeVariables,
  ttlExpected,
} from "./store-settings.ts";

/** What a call says about the store; the environment and the site's file say the rest. */
export interface StoreChoice {
  /** `etcd://host:2379,host2:2379/prefix`; else the environment's TRAINLOCK_STORE, else the site's file, else none. */
  readonly store?: string | undefined;
  /** A duration, 5s to 1h. */
  readonly ttl?: string | undefined;
  readonly alsoMarker?: boolean | undefined;
}

const keys = Object.keys(fileKeys) as Key[];

/**
 * The store in force, each setting from the first that names it: call, environment, file. Null: locks are on the file
 * system. Throws a UsageError for what is no setting, an EnvironmentError where a secret would follow a file that others write.
 */
export function storeInForce(
  choice: StoreChoice,
  env: Readonly<Record<string, string | undefined>>,
  file: StoreFile | null,
): { readonly settings: StoreSettings; readonly origins: StoreOrigins } | null {
  const origins: Record<Key, string> = Object.fromEntries(keys.map((key) => [key, "default"])) as Record<Key, string>;
  const values: Values = { ...nothing };
  const set = <K extends Key>(key: K, value: Values[K], from: string) => {
    if (value === null || origins[key] !== "default") return;
    values[key] = value;
    origins[key] = from;
  };
  set("address", named("--store", choice.store, addressOf), "--store");
  set("ttlMs", named("--ttl", choice.ttl, ttlOf), "--ttl");
  const markerFlag = choice.alsoMarker === false ? "--no-also-marker" : "--also-marker";
  set("alsoMarker", choice.alsoMarker ?? null, markerFlag);
  for (const [key, variable] of Object.entries(storeVariables) as [keyof typeof storeVariables, string][]) {
    const text = env[variable];
    if (text !== undefined && text !== "") set(key, readers[key](variable, text), variable);
  }
  if (file !== null) {
    for (const key of keys) set(key, file.declared[key], `${file.path}:${file.lines[`store.${fileKeys[key]}`] ?? 1}`);
    // `auto` is said there, too.
    const line = file.lines["store.also_marker"];
    if (line !== undefined && values.alsoMarker === null) origins.alsoMarker = `${file.path}:${line}`;
  }
  const { address } = values;
  if (address === null) return refuseForNothing(origins);
  const settings = { ...values, address, ttlMs: values.ttlMs ?? defaultTtlMs };
  requireWhole(settings, origins);
  if (file !== null) requireOwnSecrets(settings, origins, file, env);
  return { settings, origins };
}

const nothing: Values = {
  address: null,
  ttlMs: null,
  caFile: null,
  certFile: null,
  keyFile: null,
  user: null,
  passwordFile: null,
  alsoMarker: null,
};

function named<T>(flag: string, text: string | undefined, read: (name: string, text: string) => T): T | null {
  if (text === "") throw new UsageError(`${flag} is empty`, { hint: "leave it out, or give a value" });
  return text === undefined ? null : read(flag, text);
}

function wrong(name: string, text: string | null, expected: string): never {
  throw new UsageError(
    `${name}${text === null ? "" : ` ${JSON.stringify(text.slice(0, 200))}`}: expected ${expected}`,
    { code: "ERR_STORE" },
  );
}

function addressOf(name: string, text: string): string {
  const problem = addressProblem(text);
  return problem === null ? text : wrong(name, problem.secret ? null : text, problem.expected);
}

function ttlOf(name: string, text: string): number {
  const ms = durationMs(text);
  return isTtl(ms) ? ms : wrong(name, text, ttlExpected);
}

function pathOf(name: string, text: string): string {
  return isPlainPath(text) ? text : wrong(name, text, "the absolute path of a file");
}

const readers = {
  address: addressOf,
  caFile: pathOf,
  certFile: pathOf,
  keyFile: pathOf,
  user: (name: string, text: string) => (isStoreUser(text) ? text : wrong(name, text, "a user name")),
  passwordFile: pathOf,
} as const;
