import { durationMs } from "../model/durations.ts";
import type { YamlValue } from "./yaml-reader.ts";

/** Where locks are kept when not on the file system, and how it is reached. Everything checked but what only the store can. */
export interface StoreSettings {
  /** `etcd://…` or `etcds://…`, without user and password. */
  readonly address: string;
  /** How long a lock outlives a holder that does not renew it. */
  readonly ttlMs: number;
  /** Files in PEM; null: the system's own authorities, no certificate of ours. */
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly user: string | null;
  /** The password is its first line. */
  readonly passwordFile: string | null;
  /** Whether the marker is placed as well, for jobs that know nothing else; null: where such jobs may be. */
  readonly alsoMarker: boolean | null;
}

/** What `store:` in a site's file declares. Null: nothing said. */
export type StoreDeclaration = { readonly [key in keyof StoreSettings]: StoreSettings[key] | null } & {
  readonly address: string;
};

/** The variables that name a store's settings, and that `run` hands on to its command. */
export const storeVariables = {
  address: "TRAINLOCK_STORE",
  caFile: "TRAINLOCK_STORE_CA",
  certFile: "TRAINLOCK_STORE_CERT",
  keyFile: "TRAINLOCK_STORE_KEY",
  user: "TRAINLOCK_STORE_USER",
  passwordFile: "TRAINLOCK_STORE_PASSWORD_FILE",
} as const satisfies Partial<Record<keyof StoreSettings, string>>;

/** The variables from which another process takes the same settings; none where locks are on the file system. */
export function environmentOfStore(store: StoreSettings | null): Record<string, string> {
  if (store === null) return {};
  const entries = Object.entries(storeVariables) as [keyof typeof storeVariables, string][];
  return Object.fromEntries(entries.map(([key, variable]) => [variable, store[key] ?? ""]));
}

/** Holds the password itself. It is no setting, for settings are shown. */
export const passwordVariable = "TRAINLOCK_STORE_PASSWORD";

/** The keys of `store:` in a site's file. */
export const fileKeys = {
  address: "address",
  ttlMs: "ttl",
  caFile: "ca",
  certFile: "cert",
  keyFile: "key",
  user: "user",
  passwordFile: "password_file",
  alsoMarker: "also_marker",
} as const satisfies Record<keyof StoreSettings, string>;

export const defaultTtlMs = 60_000;
const leastTtlMs = 5000;
const mostTtlMs = 3_600_000;
const schemes = ["etcd", "etcds"];
const longestAddress = 4096;

/** A setting as it is understood, or what was expected. `secret`: the text may hold a password, and must not be shown. */
export type Reading<T> = { readonly value: T } | { readonly expected: string; readonly secret: boolean };

/** How the text of each setting is checked, whoever gives it: an option, a variable or the site's file. */
export const storeReaders = {
  address: (text: string): Reading<string> => addressProblem(text) ?? { value: text },
  ttlMs: (text: string): Reading<number> => {
    const ms = durationMs(text);
    return ms !== null && ms >= leastTtlMs && ms <= mostTtlMs ? { value: ms } : expected("a duration from 5s to 1h");
  },
  caFile: readPath,
  certFile: readPath,
  keyFile: readPath,
  user: (text: string): Reading<string> =>
    /^[^\p{Cc}\p{Cf}\p{Cs}\s:]{1,128}$/u.test(text) ? { value: text } : expected("a user name"),
  passwordFile: readPath,
} as const;

/** A path that means the same to every process, whatever folder it works in. */
function readPath(text: string): Reading<string> {
  const plain = text.startsWith("/") && text.length <= longestAddress && !/\p{Cc}/u.test(text);
  return plain ? { value: text } : expected("the absolute path of a file");
}

function expected(words: string) {
  return { expected: words, secret: false };
}

/** Whether a text names a store by scheme, whatever else is wrong with it: a path does not. */
export function looksLikeAddress(text: string): boolean {
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text);
}

/** What is wrong with an address; null: nothing that can be seen without asking the store. */
function addressProblem(text: string): { readonly expected: string; readonly secret: boolean } | null {
  const known = schemes.map((scheme) => `${scheme}://`).join(" or ");
  if (/[@?#]/.test(text)) {
    const where = `the user is ${storeVariables.user} or \`user\`, the password a file: ${storeVariables.passwordFile} or \`password_file\``;
    return { expected: `an address without user, password and options (${where})`, secret: true };
  }
  const [, scheme, rest = ""] = /^([^:/]*):\/\/(.*)$/s.exec(text) ?? [];
  if (scheme === undefined) return expected(`an address such as ${schemes[0]}://host:2379`);
  if (!schemes.includes(scheme)) return expected(`${known}, the only stores there are besides the file system`);
  if (text.length > longestAddress) return expected(`an address of at most ${longestAddress} characters`);
  if (/[\s\p{Cc}\p{Cf}\p{Cs}]/u.test(rest)) return expected("an address without blanks and control characters");
  return /^[^/]/.test(rest) ? null : expected(`a host after ${scheme}://`);
}

/** `store:`, an address or a mapping with one. Notes the line of each key as `store.KEY`. */
export function readStore(value: YamlValue, lines: Record<string, number>): StoreDeclaration {
  const own = value.isMapping ? value.mapping(Object.values(fileKeys)) : new Map([[fileKeys.address, value]]);
  for (const [key, { line }] of own) lines[`store.${key}`] = line;
  const text = (key: Exclude<keyof typeof storeReaders, "ttlMs">): string | null => {
    const given = own.get(fileKeys[key]);
    return given === undefined ? null : accepted(given, storeReaders[key], (words) => given.text(words));
  };
  const ttl = own.get(fileKeys.ttlMs);
  const alsoMarker = own.get(fileKeys.alsoMarker);
  return {
    address: text("address") ?? value.fail("an `address`"),
    ttlMs: ttl === undefined ? null : accepted(ttl, storeReaders.ttlMs, (words) => String(ttl.scalar(words))),
    caFile: text("caFile"),
    certFile: text("certFile"),
    keyFile: text("keyFile"),
    user: text("user"),
    passwordFile: text("passwordFile"),
    alsoMarker: alsoMarker === undefined ? null : readAlsoMarker(alsoMarker),
  };
}

/** `textOf` reads the characters and fails with the words given. No reader accepts an empty text: it says what it expects. */
function accepted<T>(value: YamlValue, read: (text: string) => Reading<T>, textOf: (words: string) => string): T {
  const empty = read("");
  const reading = read(textOf("expected" in empty ? empty.expected : ""));
  if ("value" in reading) return reading.value;
  return reading.secret ? value.refuse(reading.expected) : value.fail(reading.expected);
}

function readAlsoMarker(value: YamlValue): boolean | null {
  const words: Readonly<Record<string, boolean | null>> = { true: true, false: false, auto: null };
  return words[value.source] ?? (value.source === "auto" ? null : value.fail("true, false or auto"));
}
