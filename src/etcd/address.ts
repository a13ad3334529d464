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
