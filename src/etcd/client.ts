/** A lease's number, decimal digits: 64 bits, more than a JavaScript number holds. */
export type LeaseId = string;

export interface Entry {
  readonly key: string;
  /** As found: any bytes. */
  readonly value: Buffer;
  /** The store's revision when the key was made; a key that is deleted and made again has another. */
  readonly createRevision: number;
  /** The store's revision when it was changed last. */
  readonly modRevision: number;
  /** Null: the key stays without a lease. */
  readonly lease: LeaseId | null;
}

/** What a transaction requires of a key: 0 is "there is no such key". */
export type Compare = { readonly key: string } & (
  | { readonly createRevision: number }
  | { readonly modRevision: number }
  | { readonly lease: LeaseId }
  | { readonly value: string }
);

export type Change =
  | { readonly put: string; readonly value: Buffer; readonly lease: LeaseId | null }
  | { readonly delete: string };

export interface Transaction {
  readonly if: readonly Compare[];
  readonly then: readonly Change[];
  /** Keys to read where a requirement is not met. */
  readonly elseGet: readonly string[];
}

export type TransactionResult =
  | { readonly done: true; readonly revision: number }
  | { readonly done: false; readonly revision: number; readonly found: readonly (Entry | null)[] };

export type WatchEvent =
  | { readonly kind: "put"; readonly key: string; readonly revision: number }
  | { readonly kind: "delete"; readonly key: string; readonly revision: number }
  /** What happened from the revision asked for up to this one is forgotten: read again. */
  | { readonly kind: "compacted"; readonly revision: number };

export interface MemberStatus {
  readonly endpoint: string;
  readonly version: string;
  readonly memberId: string;
  /** Id of the leader; null: none is known. */
  readonly leader: string | null;
  readonly databaseBytes: number;
  /** How far its wall clock is ahead of ours, milliseconds, to a second; null: it does not say. */
  readonly clockOffsetMs: number | null;
}

export interface Alarm {
  readonly memberId: string;
  readonly kind: string;
}

/** One call's time limit, for all endpoints that it tries together, milliseconds; and an end from outside. */
export interface CallLimits {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /**
   * Each endpoint is asked once: a "no leader" or a login that ran out is the answer. For calls that prove something about the
   * call before them at the same endpoint: asked again, it may answer under another leader.
   */
  readonly once?: boolean;
}

/**
 * An etcd cluster. Reads are linearizable. Each call goes to the endpoint that answered last, and on to the next where that
 * one is not to be had. Throws a {@link EtcdError} that names endpoint and cause.
 */
export interface EtcdClient {
  readonly endpoints: readonly string[];
  /** The token of the login in use; null: there was no login. */
  loginToken(): string | null;
  /** Of the cluster that has answered; null: none has. Whoever answers for another is not listened to any more. */
  clusterId(): string | null;
  /** The endpoints, the one that answered last first. */
  inOrder(): readonly string[];
  /** Asks all endpoints once, and waits for no silent one. Throws an EtcdError where two clusters answer. */
  requireOneCluster(): Promise<void>;
  /** The same, asking this endpoint alone. */
  at(endpoint: string): EtcdClient;
  grant(ttlSeconds: number, limits?: CallLimits): Promise<{ readonly lease: LeaseId; readonly ttlSeconds: number }>;
  /** Ends a lease and deletes its keys. False: there was none. */
  revoke(lease: LeaseId, limits?: CallLimits): Promise<boolean>;
  /** Seconds that the lease has from now on; 0: it is gone. */
  keepAlive(lease: LeaseId, limits?: CallLimits): Promise<number>;
  transact(transaction: Transaction, limits?: CallLimits): Promise<TransactionResult>;
  get(key: string, limits?: CallLimits): Promise<{ readonly entry: Entry | null; readonly revision: number }>;
  /** All keys that begin with `prefix`, as of one revision, in order, a page at a time. */
  list(prefix: string, limits?: CallLimits): AsyncIterable<readonly Entry[]>;
  /**
   * What happens to a key from a revision on. Ends with an error when the connection does, or when the server has said nothing
   * for longer than a live connection would; begin again from the last revision seen.
   */
  watch(key: string, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchEvent>;
  status(endpoint: string, limits?: CallLimits): Promise<MemberStatus>;
  alarms(limits?: CallLimits): Promise<readonly Alarm[]>;
  /** Ends idle connections. */
  close(): void;
}
