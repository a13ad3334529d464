import type { SchedulerKind } from "../schedulers/listed-job.ts";

/** How far others may be asked about a holder. */
export interface RemoteOptions {
  /** For one host to take an ssh connection, milliseconds. */
  readonly connectTimeoutMs: number;
  /** For everything that is asked at once, milliseconds. */
  readonly verifyTimeoutMs: number;
  /** `auto`: what the record names, else what is installed. */
  readonly scheduler: SchedulerKind | "auto" | "none";
  /** Where a bare PID may be, beside the hosts of its owner's jobs. */
  readonly hosts: readonly string[];
  /** Told once of each scheduler that gives no answer. */
  readonly onNote: (text: string) => void;
}

export const defaultRemoteOptions: RemoteOptions = {
  connectTimeoutMs: 5000,
  verifyTimeoutMs: 10_000,
  scheduler: "auto",
  hosts: [],
  onNote: () => undefined,
};
