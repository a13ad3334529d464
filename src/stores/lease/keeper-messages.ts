import type { EtcdAccess, EtcdAddress } from "../../etcd/address.ts";
import type { LeaseId } from "../../etcd/client.ts";
import type { EtcdCause } from "../../etcd/errors.ts";
import type { SchedulerJob } from "../../model/owner-record.ts";
import type { ProcessIdentity } from "../../system/processes/process-tree.ts";
import type { Question } from "../../system/questions.ts";

/** A claim as it is written to a pipe: the owner record in base64. */
export interface ClaimText {
  readonly id: string;
  readonly lock: string;
  readonly last: string;
  readonly token: string;
  readonly value: string;
}

/**
 * What a keeper reads: one JSON document a line on its standard input, so that no password is ever in a list of processes. No
 * message tells it to stop: the end of its input does.
 */
export type Request =
  | {
      readonly do: "begin";
      readonly address: EtcdAddress;
      readonly access: EtcdAccess;
      /** The token of a login that was made already: a login is slow on purpose, against guessed passwords. */
      readonly loginToken: string | null;
      /** Of the cluster that has answered; null: none has. */
      readonly clusterId: string | null;
      readonly ttlMs: number;
      readonly wrapper: WrapperFacts;
      /** What to stop when a claim is lost; null: a program that looks after itself. */
      readonly guard: GuardRules | null;
      /** Whether questions to etcd are reported, for `--debug`. */
      readonly tellQuestions: boolean;
      /** Other processes release the claim: when this process ends, the lease goes on. */
      readonly borrowed: boolean;
      /** What the keeper before this one kept; null: nothing yet. */
      readonly resume: (LeaseOf & { readonly claims: readonly (ClaimText & { readonly revision: number })[] }) | null;
    }
  | ({ readonly do: "claim" } & ClaimText)
  /** The command runs, as the leader of this process group. `value`: the new value of the claim's key; null: as before. */
  | { readonly do: "guard"; readonly id: string; readonly group: number; readonly value: string | null }
  /** The command's process tree as it is now. */
  | { readonly do: "tree"; readonly processes: readonly ProcessIdentity[] }
  | { readonly do: "remove"; readonly id: string }
  /** Another process releases it. */
  | { readonly do: "leave"; readonly id: string }
  | { readonly do: "renew"; readonly number: number }
  /** To be answered at once. */
  | { readonly do: "answer"; readonly number: number }
  /** The wrapper knows of the loss, and stops its command itself. */
  | { readonly do: "stopping" }
  /** An `alive` has been read: another may be sent. A wrapper that is stopped reads none, and no pipe fills up. */
  | { readonly do: "seen" }
  /** The same for an `asked`. */
  | { readonly do: "questions read" };

export interface WrapperFacts extends ProcessIdentity {
  /** The job that it runs in. A keeper has no environment. */
  readonly job: SchedulerJob | null;
}

export interface GuardRules {
  /** False: the command goes on without its lock, as its user wishes. */
  readonly stops: boolean;
  /** From SIGTERM to SIGKILL at most, milliseconds. */
  readonly killAfterMs: number;
}

export interface LeaseOf {
  readonly lease: LeaseId;
  /** Milliseconds since boot. */
  readonly confirmedAtMs: number;
}

/** What a keeper writes: one JSON document a line on its standard output. */
export type Report =
  | { readonly say: "ready" }
  | ({ readonly say: "alive" } & LeaseOf)
  | ({ readonly say: "claimed"; readonly id: string; readonly revision: number } & LeaseOf)
  | { readonly say: "taken"; readonly id: string }
  | { readonly say: "refused"; readonly id: string; readonly fault: FaultText }
  | { readonly say: "reclaimed"; readonly id: string; readonly revision: number }
  | { readonly say: "lost"; readonly id: string; readonly why: string; readonly stopByMs: number }
  /** `left`: processes of the command that go on, for which the lock is kept. */
  | {
      readonly say: "removed";
      readonly id: string;
      readonly fault: string | null;
      readonly left: readonly number[];
    }
  /** What etcd was asked, and what it answered. */
  | { readonly say: "asked"; readonly questions: readonly Question[] }
  | { readonly say: "renewed"; readonly number: number }
  | { readonly say: "answered"; readonly number: number };

/** An EtcdError as it is written to a pipe. */
export interface FaultText {
  readonly reason: EtcdCause;
  readonly endpoint: string;
  readonly message: string;
  readonly code: string;
  readonly hint: string | null;
  readonly mayHaveHappened: boolean;
}

export function lineOf(message: Request | Report): string {
  return `${JSON.stringify(message)}\n`;
}
