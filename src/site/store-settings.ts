/** Where locks are kept when not on the file system, and how it is reached. Everything checked but what only the store can. */
export interface StoreSettings {
  /** `etcd://…` or `etcds://…`, without user and password. */
  readonly address: string;
  /** How long a lock outlives a holder that the store does not hear of. */
  readonly ttlMs: number;
  /** Files in PEM; null: the system's own authorities, no certificate of ours. */
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly user: string | null;
  /** Of whose first line the password is. */
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

export const defaultTtlMs = 60_000;
const leastTtlMs = 5000;
const mostTtlMs = 3_600_000;
export const ttlExpected = "a duration from 5s to 1h";

export function isTtl(ms: number | null): ms is number {
  return ms !== null && ms >= leastTtlMs && ms <= mostTtlMs;
}

const schemes = ["etcd", "etcds"];
const longestAddress = 4096;

/** Whether a text names a store by scheme, whatever else is wrong with it: a path does not. */
export function looksLikeAddress(text: string): boolean {
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text);
}

/**
 * What is wrong with an address; null: nothing that can be told without asking the store. `secret`: it may hold a password,
 * and must not be shown.
 */
export function addressProblem(text: string): { readonly expected: string; readonly secret: boolean } | null {
  const known = schemes.map((scheme) => `${scheme}://`).join(" or ");
  const problem = (expected: string) => ({ expected, secret: false });
  if (/[@?#]/.test(text)) {
    const where = `the user is ${storeVariables.user} or \`user\`, the password a file: ${storeVariables.passwordFile} or \`password_file\``;
    return { expected: `an address without user, password and options (${where})`, secret: true };
  }
  const [, scheme, rest = ""] = /^([^:/]*):\/\/(.*)$/s.exec(text) ?? [];
  if (scheme === undefined) return problem(`an address such as ${schemes[0]}://host:2379`);
  if (!schemes.includes(scheme)) return problem(`${known}, the only stores there are besides the file system`);
  if (text.length > longestAddress) return problem(`an address of at most ${longestAddress} characters`);
  if (/[\s\p{Cc}\p{Cf}\p{Cs}]/u.test(rest)) return problem("an address without blanks and control characters");
  return /^[^/]/.test(rest) ? null : problem(`a host after ${scheme}://`);
}

/** A path that means the same to every process, whatever folder it works in. */
export function isPlainPath(text: string): boolean {
  return text.startsWith("/") && text.length <= longestAddress && !/\p{Cc}/u.test(text);
}

export function isStoreUser(text: string): boolean {
  return /^[^\p{Cc}\p{Cf}\p{Cs}\s:]{1,128}$/u.test(text);
}
