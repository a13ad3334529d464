import { errnoOf } from "../system/libc/errno.ts";
import type { Failure } from "./answers.ts";
import { type EtcdCause, EtcdError } from "./errors.ts";

export const codes = {
  leaseNotFound: "ERR_ETCD_LEASE_NOT_FOUND",
  leaseExists: "ERR_ETCD_LEASE_EXISTS",
  staleToken: "ERR_ETCD_TOKEN",
  noUser: "ERR_ETCD_NO_USER",
  authenticationOff: "ERR_ETCD_AUTHENTICATION_OFF",
  compacted: "ERR_ETCD_COMPACTED",
  tooLarge: "ERR_ETCD_ANSWER_TOO_LARGE",
  timeout: "ERR_ETCD_TIMEOUT",
  certificate: "ERR_ETCD_CERTIFICATE",
  commonName: "ERR_ETCD_COMMON_NAME",
  notEtcd: "ERR_ETCD_NOT_ETCD",
  unreachable: "ERR_ETCD_UNREACHABLE",
  anotherCluster: "ERR_ETCD_ANOTHER_CLUSTER",
} as const;

interface Kind {
  readonly pattern: RegExp;
  readonly reason: EtcdCause;
  readonly code: string;
  readonly hint: string;
  /** The request may have been carried out all the same. */
  readonly uncertain?: true;
}

const noLeaderHint =
  "most members must be running and reach one another: `etcdctl endpoint status --cluster` shows which";
const userHint = "check TRAINLOCK_STORE_USER and TRAINLOCK_STORE_PASSWORD_FILE";

/** What etcd says, by its own words (etcd's api/v3rpc/rpctypes); its gRPC codes are too coarse. */
const kinds: readonly Kind[] = [
  { pattern: /no leader|proposal dropped/, reason: "no leader", code: "ERR_ETCD_NO_LEADER", hint: noLeaderHint },
  { pattern: /leader changed/, reason: "no leader", code: "ERR_ETCD_NO_LEADER", hint: noLeaderHint, uncertain: true },
  { pattern: /request timed out/, reason: "timeout", code: codes.timeout, hint: noLeaderHint, uncertain: true },
  {
    pattern: /database space exceeded/,
    reason: "no space",
    code: "ERR_ETCD_NO_SPACE",
    hint: "compact and defragment it, then `etcdctl alarm disarm`; or raise its --quota-backend-bytes",
  },
  {
    pattern: /too many requests/,
    reason: "too many requests",
    code: "ERR_ETCD_TOO_MANY_REQUESTS",
    hint: "the cluster has more to do than it can: try again later, or look at its disks",
  },
  {
    pattern: /permission denied/,
    reason: "permission denied",
    code: "ERR_ETCD_PERMISSION_DENIED",
    hint: "the user needs a role with readwrite on the store's prefix: `etcdctl role grant-permission --prefix`",
  },
  { pattern: /invalid auth token|auth store is old/, reason: "authentication", code: codes.staleToken, hint: userHint },
  {
    pattern: /user name is empty/,
    reason: "authentication",
    code: codes.noUser,
    hint: "etcd wants a user: set TRAINLOCK_STORE_USER and TRAINLOCK_STORE_PASSWORD_FILE",
  },
  {
    pattern: /authentication failed|invalid user|user name not found/,
    reason: "authentication",
    code: "ERR_ETCD_AUTHENTICATION",
    hint: userHint,
  },
  {
    pattern: /authentication is not enabled/,
    reason: "authentication",
    code: codes.authenticationOff,
    hint: "etcd knows no users: unset TRAINLOCK_STORE_USER",
  },
  {
    pattern: /not supported for learner/,
    reason: "unreachable",
    code: "ERR_ETCD_LEARNER",
    hint: "this member has no vote yet: name others as well, or `etcdctl member promote`",
  },
  {
    pattern: /corrupt cluster/,
    reason: "other",
    code: "ERR_ETCD_CORRUPT",
    hint: "its members differ: `etcdctl endpoint hashkv --cluster` shows which; remove that one and add it anew, then `etcdctl alarm disarm`",
  },
  { pattern: /lease not found/, reason: "other", code: codes.leaseNotFound, hint: "the lease ran out, or was revoked" },
  { pattern: /lease already exists/, reason: "other", code: codes.leaseExists, hint: "try again" },
  {
    pattern: /has been compacted/,
    reason: "other",
    code: codes.compacted,
    hint: "read again: what was asked for is too old",
  },
];

/** gRPC's Unavailable: a member that starts, stops, or only learns. The next endpoint may do. */
const unavailable = 14;
/** Canceled, and DeadlineExceeded. */
const overdue = new Set([1, 4]);

/** What etcd itself said went wrong. */
export function saidByEtcd(endpoint: string, { message, code }: Failure): EtcdError {
  const known = kinds.find(({ pattern }) => pattern.test(message));
  const text = `etcd at ${endpoint}: ${known?.code === codes.staleToken ? "the login ran out" : harmless(message)}`;
  if (known !== undefined) {
    const { reason, code, hint, uncertain = false } = known;
    return new EtcdError(reason, endpoint, text, { code, hint, mayHaveHappened: uncertain });
  }
  const reason = code === unavailable ? "unreachable" : overdue.has(code ?? 0) ? "timeout" : "other";
  const hint =
    reason === "unreachable"
      ? "see the member's log: it starts or stops, or --client-cert-auth is on and its certificate allows no client authentication"
      : "see the member's log";
  return new EtcdError(reason, endpoint, text, {
    code: `ERR_ETCD_GRPC_${code ?? "UNKNOWN"}`,
    hint,
    mayHaveHappened: true,
  });
}

/** What a connection ended with, or never came to. `sent`: the request had left; `secure`: with TLS. */
export function brokenConnection(endpoint: string, error: unknown, sent: boolean, secure: boolean): EtcdError {
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
  const because = error instanceof Error ? harmless(error.message) : "";
  const failure = (reason: EtcdCause, own: string, what: string, hint: string, mayHaveHappened: boolean) =>
    new EtcdError(reason, endpoint, `etcd at ${endpoint}: ${what}`, { code: own, hint, mayHaveHappened, cause: error });
  if (code === "ECONNREFUSED") {
    return failure("refused", code, "connection refused", "is etcd running there, and is the port right?", false);
  }
  if (/WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL|HTTP_REQUEST|^EPROTO$|PACKET_LENGTH/.test(code)) {
    return failure("not etcd", codes.notEtcd, "it speaks no TLS", "use etcd:// for an etcd without TLS", false);
  }
  const certificate = certificateFault(code, because);
  if (certificate !== null) return failure("certificate", codes.certificate, certificate.what, certificate.hint, false);
  if (code.startsWith("HPE_")) {
    return failure(
      "not etcd",
      codes.notEtcd,
      "its answer is not HTTP",
      "check host and port; etcds:// is for TLS",
      sent,
    );
  }
  // The second is how Bun calls it while TLS is set up.
  const errno = code === "ERR_SOCKET_CLOSED" ? "ECONNRESET" : errnoOf(error);
  const what = sent ? `the connection broke (${errno ?? because})` : `not reachable (${errno ?? because})`;
  // An etcd closes a connection where TLS is missing, or is not expected, without a word.
  const orMistaken =
    sent === secure ? "" : `; ${secure ? "an etcd without TLS is etcd://" : "an etcd with TLS is etcds://"}`;
  const isUnnamed = errno === "ENOTFOUND" || errno?.startsWith("EAI_") === true;
  const hint = isUnnamed
    ? "check the host's name, and whether name servers answer here: `getent hosts NAME`"
    : `check host and network${errno === "ECONNRESET" ? orMistaken : ""}`;
  return failure("unreachable", errno ?? codes.unreachable, what, hint, sent);
}

function certificateFault(code: string, because: string): { readonly what: string; readonly hint: string } | null {
  if (/^ERR_SSL_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)/.test(code)) {
    return {
      what: "it refused our certificate, or wants one",
      hint: "set TRAINLOCK_STORE_CERT and TRAINLOCK_STORE_KEY to a certificate that etcd's CA signed and that has not expired",
    };
  }
  if (code === "CERT_HAS_EXPIRED")
    return { what: "its certificate has expired", hint: "have it renewed; check this host's clock" };
  if (code === "CERT_NOT_YET_VALID")
    return { what: "its certificate is not valid yet", hint: "check this host's clock" };
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return { what: "its certificate is for another host", hint: `use a name that the certificate has (${because})` };
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO_|^ERR_OSSL|^ERR_BORINGSSL|^ERR_TLS|^ERR_SSL/.test(code)) {
    return {
      what: `its certificate cannot be trusted (${code})`,
      hint: "set TRAINLOCK_STORE_CA to the certificate of the authority that signed it",
    };
  }
  return null;
}

export function noAnswer(endpoint: string, afterMs: number, sent: boolean): EtcdError {
  const seconds = (afterMs / 1000).toFixed(1);
  const what = sent ? "no answer" : "no connection";
  return new EtcdError("timeout", endpoint, `etcd at ${endpoint}: ${what} within ${seconds} s`, {
    code: codes.timeout,
    hint: "check network and load of the cluster; most of its members must be running",
    mayHaveHappened: sent,
  });
}

/** An answer that no etcd would give. It may be one all the same, so what was asked for may have happened. */
export function notEtcd(endpoint: string, why: string): EtcdError {
  return new EtcdError("not etcd", endpoint, `no etcd at ${endpoint}: ${why}`, {
    code: codes.notEtcd,
    hint: "check host and port, and that etcd is 3.4 or newer and serves its JSON gateway",
    mayHaveHappened: true,
  });
}

/** etcd's gateway does not take a certificate's common name for a user's, and says so rather than to ignore it. */
export function namedCertificate(endpoint: string): EtcdError {
  const message = `etcd at ${endpoint}: it has users, and takes no certificate with a common name over its JSON gateway`;
  return new EtcdError("certificate", endpoint, message, {
    code: codes.commonName,
    hint: "use a client certificate without a common name (CN), beside user and password",
    mayHaveHappened: false,
  });
}

/** `members`: endpoints of the cluster that it should be of, as far as they are known. */
export function anotherCluster(endpoint: string, members: readonly string[], mayHaveHappened: boolean): EtcdError {
  const than = members.length === 0 ? "the one that was asked before" : members.join(",");
  return new EtcdError("another cluster", endpoint, `etcd at ${endpoint}: it is of another cluster than ${than}`, {
    code: codes.anotherCluster,
    hint: "name members of one cluster alone: `etcdctl endpoint status -w fields` shows the ClusterID of each; one that was restored or set up anew is another cluster",
    mayHaveHappened,
  });
}

/** More than is kept in memory. */
export function tooLarge(endpoint: string, largestBytes: number): EtcdError {
  return new EtcdError("other", endpoint, `etcd at ${endpoint}: an answer of more than ${largestBytes} bytes`, {
    code: codes.tooLarge,
    hint: "is it etcd, and does something else keep large values under the store's prefix?",
    mayHaveHappened: true,
  });
}

export function hasCode(error: unknown, code: string): error is EtcdError {
  return error instanceof EtcdError && error.code === code;
}

/** A server's words, for one line of a terminal. */
function harmless(text: string): string {
  return text
    .replace(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, 200);
}
