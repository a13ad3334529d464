import { UsageError } from "../model/errors.ts";

/** Where an etcd store is, and how to speak to it. Passwords are never part of an address. */
export interface EtcdAddress {
  /** `https` for `etcds://`. */
  readonly secure: boolean;
  /** `host:port`, in the order given; IPv6 in brackets. */
  readonly endpoints: readonly string[];
  /** Begins with `/` and does not end with one; `/trainlock` where the address has none. */
  readonly prefix: string;
}

/** Files and names for TLS and authentication; null where not given. */
export interface EtcdAccess {
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly user: string | null;
  readonly password: string | null;
}

const defaultPort = 2379;
const defaultPrefix = "/trainlock";
const form = "write etcd://host:2379,host:2379/prefix, or etcds:// for TLS";

/**
 * Reads `etcd://h1:2379,h2/prefix`, or `etcds://` for TLS. The port may be left out, the prefix as well. Throws a UsageError
 * that names what it does not take; a password is never repeated there.
 */
export function parseEtcdAddress(text: string): EtcdAddress {
  const [, scheme, hosts, path] = /^([^:/]*):\/\/([^/]*)(.*)$/s.exec(text) ?? [];
  if (hosts === undefined || (scheme !== "etcd" && scheme !== "etcds")) {
    throw new UsageError(`not the address of an etcd store: ${shown(text)}`, { hint: form });
  }
  if (hosts.includes("@")) {
    throw new UsageError(
      `a store's address takes no user and no password: ${scheme}://...@${shown(afterUser(hosts))}`,
      {
        hint: "set TRAINLOCK_STORE_USER, and TRAINLOCK_STORE_PASSWORD_FILE or TRAINLOCK_STORE_PASSWORD",
      },
    );
  }
  const refuse = (why: string): never => {
    throw new UsageError(`${why} in the store's address ${shown(text)}`, { hint: form });
  };
  if (/[\p{Cc}\p{Cf}\p{Cs}\p{Z}]/u.test(text)) refuse("a control character or a space");
  return {
    secure: scheme === "etcds",
    endpoints: [...new Set(hosts.split(",").map((host) => endpointFrom(host, refuse)))],
    prefix: prefixFrom(path ?? "", refuse),
  };
}

type Refuse = (why: string) => never;

function endpointFrom(text: string, refuse: Refuse): string {
  const [, host = "", port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(text) ?? refuse(`no host "${text}"`);
  if (host === "" || host === "[]") refuse("an empty host");
  const isAddress6 = /^\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]$/.test(host);
  if (!isAddress6 && !/^[A-Za-z0-9_][A-Za-z0-9._-]{0,252}$/.test(host)) {
    refuse((port ?? "").includes(":") ? `an IPv6 address without brackets, "${text}"` : `no host "${text}"`);
  }
  const number = port === undefined ? defaultPort : Number(/^\d{1,5}$/.test(port) ? port : Number.NaN);
  if (!(number >= 1 && number <= 65_535)) refuse(`no port "${port}"`);
  return `${host}:${number}`;
}

function prefixFrom(path: string, refuse: Refuse): string {
  const [reserved] = /[?#\\]/.exec(path) ?? [];
  if (reserved !== undefined) refuse(`a "${reserved}"`);
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.some((part) => part === "." || part === "..")) refuse('"." or ".."');
  return parts.length === 0 ? defaultPrefix : `/${parts.join("/")}`;
}

function afterUser(hosts: string): string {
  return hosts.slice(hosts.lastIndexOf("@") + 1);
}

/** Quoted and cut, whatever it holds. */
function shown(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}
