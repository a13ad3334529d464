import type { BigIntStats } from "node:fs";
import { EnvironmentError, UsageError } from "../model/errors.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { passwordVariable, type StoreDeclaration, type StoreSettings, storeVariables } from "./store-settings.ts";

/** A site's file that declares a store. */
export interface StoreFile {
  readonly path: string;
  readonly declared: StoreDeclaration;
  readonly lines: Readonly<Record<string, number>>;
  /** Null: the caller has named it, and vouches for it. */
  readonly found: { readonly file: BigIntStats; readonly rootUid: number } | null;
}

export type Key = keyof StoreSettings;
export type Values = { -readonly [key in Key]: StoreSettings[key] | null };
/** Who says each: a flag, a variable, `FILE:LINE`, or `default`. */
export type StoreOrigins = Readonly<Record<Key, string>>;

export const fileKeys = {
  address: "address",
  ttlMs: "ttl",
  caFile: "ca",
  certFile: "cert",
  keyFile: "key",
  user: "user",
  passwordFile: "password_file",
  alsoMarker: "also_marker",
} as const satisfies Record<Key, string>;

/** Options of a call that mean nothing without a store. Variables may be set for other calls. */
export function refuseForNothing({ ttlMs, alsoMarker }: StoreOrigins): null {
  const flag = [ttlMs, alsoMarker].find((from) => from.startsWith("--"));
  if (flag === undefined) return null;
  throw new UsageError(`${flag} is for locks that are kept in a store, and there is none`, {
    hint: "give --store etcd://host:2379, or leave it out: on the file system nothing expires, and the marker is always placed",
  });
}

/** Settings that mean something only together. Throws a UsageError that names who gave one of them. */
export function requireWhole(settings: StoreSettings, origins: StoreOrigins): void {
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
 * A file in a shared folder may say where a password or key goes, one of the environment too, or which file is sent as one, only
 * if no stranger can have written that: it belongs to this user, root or the root's owner, and nobody else may write it.
 */
export function requireOwnSecrets(
  settings: StoreSettings,
  origins: StoreOrigins,
  { path, found }: StoreFile,
  env: Readonly<Record<string, string | undefined>>,
): void {
  const secrets = (["keyFile", "passwordFile"] as const).filter((key) => settings[key] !== null);
  const hasSecret = secrets.length > 0 || (env[passwordVariable] ?? "") !== "";
  const deciding = [...secrets, "address", "caFile"] as const;
  if (found === null || !hasSecret || !deciding.some((key) => origins[key].startsWith(`${path}:`))) return;
  const trusted = [0, thisHost().uid, found.rootUid].includes(Number(found.file.uid));
  if (trusted && (Number(found.file.mode) & 0o022) === 0) return;
  throw new EnvironmentError(`${path} decides where a password or key goes, and others may write it`, {
    code: "ERR_STORE_SECRET",
    hint: "let it belong to you, root or the root's owner, writable by nobody else (chmod go-w), or name it by --config",
  });
}
