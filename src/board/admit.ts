import { timingSafeEqual } from "node:crypto";

/** What a request says of itself, as far as it decides whether it is answered. */
export interface Caller {
  readonly method: string;
  readonly path: string;
  readonly host: string | null;
  readonly origin: string | null;
  /** Fetch metadata of the browser: who caused the request. */
  readonly site: string | null;
}

export type Admission = { readonly path: string } | { readonly status: 403 | 404 | 405; readonly why: string };

/** Names that lead to the browser's own computer, with any port: behind `ssh -L` the socket is a port of the laptop. */
const loopback = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i;

/**
 * Whether a request is answered, and which path it asks for. Pure. A page from elsewhere can send requests here, under another
 * name for this address (DNS rebinding) or under the right one: neither gets an answer. `token`: the first part of every path;
 * null where the socket's own permissions say who may ask.
 */
export function admit({ method, path, host, origin, site }: Caller, token: string | null): Admission {
  if (host === null || !loopback.test(host)) return { status: 403, why: "ask for localhost" };
  if (origin !== null && origin !== `http://${host}`) return { status: 403, why: "asked by another page" };
  if (site !== null && site !== "same-origin" && site !== "none") return { status: 403, why: "asked by another page" };
  if (method !== "GET" && method !== "HEAD") return { status: 405, why: "this page can only be read" };
  if (token === null) return { path };
  const [, given = "", ...rest] = path.split("/");
  if (!sameText(given, token)) return { status: 403, why: "the address lacks its token" };
  return rest.length === 0 ? { status: 404, why: "the address ends with a slash" } : { path: `/${rest.join("/")}` };
}

/** Compares two texts. The time that this takes does not show where they differ. */
function sameText(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
