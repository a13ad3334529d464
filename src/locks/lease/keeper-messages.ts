import type { EtcdAccess, EtcdAddress } from "../../etcd/address.ts";
import type { LeaseId } from "../../etcd/client.ts";

/** What is asked of a keeper, one JSON document a line on its standard input: no password is ever in a list of processes. */
export type Request =
  | ({
      readonly do: "begin";
      readonly address: EtcdAddress;
      readonly access: EtcdAccess;
      readonly ttlMs: number;
      /** What to stop when a claim is lost; null: a program that looks after itself. */
      readonly guard: Guard | null;
    } & LeaseOf)
  | ({ readonly do: "lease" } & LeaseOf)
  | {
      readonly do: "add";
      readonly id: string;
      readonly lock: string;
      readonly last: string;
      readonly token: string;
      readonly revision: number;
      /** The owner record, base64. */
      readonly value: string;
    }
  /** The command runs, as the leader of this process group. */
  | { readonly do: "guard"; readonly id: string; readonly group: number; readonly value: string }
  | { readonly do: "remove"; readonly id: string; readonly last: boolean }
  | { readonly do: "renew"; readonly number: number }
  /** The wrapper has heard of the loss, and stops its command itself. */
  | { readonly do: "stopping" }
  /** An `alive` has been read: another may be sent. A wrapper that is stopped reads none, and no pipe fills up. */
  | { readonly do: "seen" };

export interface Guard {
  /** False: the command goes on without its lock, as its user wishes. */
  readonly stops: boolean;
  /** From SIGTERM to SIGKILL where no lease sets a limit, milliseconds. */
  readonly killAfterMs: number;
}

export interface LeaseOf {
  readonly lease: LeaseId;
  /** Milliseconds since boot. */
  readonly confirmedAtMs: number;
}

/** What a keeper says, one JSON document a line on its standard output. */
export type Report =
  | { readonly say: "ready" }
  | ({ readonly say: "alive" } & LeaseOf)
  | { readonly say: "reclaimed"; readonly id: string; readonly revision: number }
  | { readonly say: "lost"; readonly id: string; readonly why: string; readonly stopByMs: number | null }
  | { readonly say: "removed"; readonly id: string; readonly fault: string | null }
  | { readonly say: "renewed"; readonly number: number };

export function lineOf(message: Request | Report): string {
  return `${JSON.stringify(message)}\n`;
}
