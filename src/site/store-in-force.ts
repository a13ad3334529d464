import { UsageError } from "../model/errors.ts";
import {
  defaultTtlMs,
  fileKeys,
  passwordVariable,
  type Reading,
  type StoreDeclaration,
  type StoreSettings,
  storeReaders,
  storeVariables,
} from "./store-settings.ts";
import { type FoundFile, requireTrustedFile } from "./trusted-file.ts";

/** What a call says about the store; the environment and the site's file say the rest. */
export interface StoreChoice {
  /** `etcd://host:2379,host2:2379/prefix`; else the environment's TRAINLOCK_STORE, else the site's file, else none. */
  readonly store?: string | undefined;
  /** A duration, 5s to 1h. */
  readonly ttl?: string | undefined;
  readonly alsoMarker?: boolean | undefined;
}

/** A site's file that declares a store. */
interface StoreFile {
  readonly path: string;
  readonly declared: StoreDeclaration;
  readonly lines: Readonly<Record<string, number>>;
  /** Null: the caller has named it, and vouches for it. */
  readonly found: FoundFile | null;
}

type Key = keyof StoreSettings;
type Values = { -readonly [key in Key]: StoreSettings[key] | null };
/** Who says each: a flag, a variable, `FILE:LINE`, or `default`. */
export type StoreOrigins = Readonly<Record<Key, string>>;

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
  const origins: Record<Key, string> = { ...byDefault };
  const values: Values = { ...nothing };
  const set = <K extends Key>(key: K, value: Values[K], from: string) => {
    if (value === null || origins[key] !== "default") return;
    values[key] = value;
    origins[key] = from;
  };
  set("address", named("--store", choice.store, storeReaders.address), "--store");
  set("ttlMs", named("--ttl", choice.ttl, storeReaders.ttlMs), "--ttl");
  const markerFlag = choice.alsoMarker === false ? "--no-also-marker" : "--also-marker";
  set("alsoMarker", choice.alsoMarker ?? null, markerFlag);
  for (const [key, variable] of Object.entries(storeVariables) as [keyof typeof storeVariables, string][]) {
    const text = env[variable];
    if (text !== undefined && text !== "") set(key, accepted(variable, text, storeReaders[key]), variable);
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

const byDefault: StoreOrigins = {
  address: "default",
  ttlMs: "default",
  caFile: "default",
  certFile: "default",
  keyFile: "default",
  user: "default",
  passwordFile: "default",
  alsoMarker: "default",
};

function named<T>(flag: string, text: string | undefined, read: (text: string) => Reading<T>): T | null {
  if (text === "") throw new UsageError(`${flag} is empty`, { hint: "leave it out, or give a value" });
  return text === undefined ? null : accepted(flag, text, read);
}

function accepted<T>(name: string, text: string, read: (text: string) => Reading<T>): T {
  const reading = read(text);
  if ("value" in reading) return reading.value;
  const shown = reading.secret ? "" : ` ${JSON.stringify(text.slice(0, 200))}`;
  throw new UsageError(`${name}${shown}: expected ${reading.expected}`, {
    code: "ERR_STORE",
    hint: "see `trainlock help etcd`",
  });
}

/** Options of a call that mean nothing without a store. Variables may be set for other calls. */
function refuseForNothing({ ttlMs, alsoMarker }: StoreOrigins): null {
  const flag = [ttlMs, alsoMarker].find((from) => from.startsWith("--"));
  if (flag === undefined) return null;
  throw new UsageError(`${flag} is for locks that are kept in a store, and there is none`, {
    hint: "give --store etcd://host:2379, or leave it out: on the file system nothing expires, and the marker is always placed",
  });
}

/** Settings that mean something only together. Throws a UsageError that names who gave one of them. */
function requireWhole(settings: StoreSettings, origins: StoreOrigins): void {
  const both = (one: Key, other: Key) => {
    if (settings[one] === null || settings[other] !== null) return;
    throw new UsageError(`${origins[one]}: the store's ${fileKeys[one]} is given without its ${fileKeys[other]}`, {
      code: "ERR_STORE",
      hint: `give both, in the site's file or by ${storeVariables[other as keyof typeof storeVariables]}`,
    });
  };
  both("certFile", "keyFile");
  both("keyFile", "certFile");
  both("passwordFile", "user");
  const forTls = (["caFile", "certFile"] as const).find((key) => settings[key] !== null);
  if (forTls === undefined || settings.address.startsWith("etcds://")) return;
  throw new UsageError(`${origins[forTls]}: the store's ${fileKeys[forTls]} is of no use with ${settings.address}`, {
    code: "ERR_STORE",
    hint: "etcds:// is the address of a store with certificates",
  });
}

/**
 * A file in a shared folder may decide where a password or key is sent, also one of the environment, or which file is sent as
 * one. That is allowed only if no stranger can have written the file. Throws an EnvironmentError otherwise.
 */
function requireOwnSecrets(
  settings: StoreSettings,
  origins: StoreOrigins,
  { path, found }: StoreFile,
  env: Readonly<Record<string, string | undefined>>,
): void {
  const secrets = (["keyFile", "passwordFile"] as const).filter((key) => settings[key] !== null);
  const hasSecret = secrets.length > 0 || (env[passwordVariable] ?? "") !== "";
  const deciding = [...secrets, "address", "caFile"] as const;
  if (!hasSecret || !deciding.some((key) => origins[key].startsWith(`${path}:`))) return;
  requireTrustedFile(path, found, "where a password or key goes", "ERR_STORE_SECRET");
}
