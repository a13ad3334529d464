import { EnvironmentError, type ErrorDetails } from "../model/errors.ts";

/** Why etcd did not do what it was asked for. */
export type EtcdCause =
  | "refused"
  | "unreachable"
  | "timeout"
  | "certificate"
  | "authentication"
  | "permission denied"
  | "no leader"
  | "no space"
  | "too many requests"
  | "no lease"
  | "not etcd"
  | "another cluster"
  | "other";

/** What a restart, an election, a load or a network brings, and takes away again. */
const transient: readonly EtcdCause[] = [
  "refused",
  "unreachable",
  "timeout",
  "no leader",
  "too many requests",
  "another cluster",
];

/** Names the endpoint and the cause. Never a verdict on a lock: who holds it is not known. */
export class EtcdError extends EnvironmentError {
  readonly reason: EtcdCause;
  readonly endpoint: string;
  /** False: the request never left, or was turned down, so it changed nothing. True: it may have been carried out. */
  readonly mayHaveHappened: boolean;
  constructor(
    reason: EtcdCause,
    endpoint: string,
    message: string,
    details: ErrorDetails & { readonly mayHaveHappened: boolean },
  ) {
    super(message, { ...details, transient: transient.includes(reason) });
    this.reason = reason;
    this.endpoint = endpoint;
    this.mayHaveHappened = details.mayHaveHappened;
  }
}
