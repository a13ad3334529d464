import type { OwnerRecord, UnreadableRecord } from "./owner-record.ts";

/** What was found at the marker's path. `pid` null: `content` says why there is none. */
export interface MarkerFacts {
  readonly pid: number | null;
  /** `empty` also for a text without any digit; `foreign` for what no known writer leaves behind. */
  readonly content: "pid" | "empty" | "foreign";
  /** What stands there, in words, for anything but a plain PID. */
  readonly why: string | null;
  readonly inode: bigint;
  readonly device: bigint;
  /** User id of the file's owner. */
  readonly uid: number;
  /** Last modification, nanoseconds since the epoch by the file server's clock. */
  readonly modifiedNs: bigint;
  /** Last change of its owner, mode, times or content, by the same clock: nobody can set that. */
  readonly changedNs: bigint;
  /** When it was read, milliseconds of the monotonic clock. */
  readonly readAtMs: number;
}

/**
 * What the kernel answered about the kernel lock. `absent`: there is no lock file, which proves nothing about a holder.
 * `none`: the file system keeps no locks, so that nobody was asked.
 */
export type KernelLockState =
  | { readonly state: "held" }
  | { readonly state: "free" }
  | { readonly state: "absent" }
  | { readonly state: "none" }
  | { readonly state: "unknown"; readonly why: string };

/** A marker, a kernel lock, or a key of a remote store. */
export type LockKind = "file" | "fcntl" | "etcd";

/** Everything known about one lock before anybody else is asked: the input of every source of evidence. */
export interface LockFacts {
  readonly kind: LockKind;
  /** Display name, `strategy/dataset/model`. */
  readonly name: string;
  /** The marker, the kernel lock file, or the address of the key. */
  readonly path: string;
  /** Where the configuration trains, where that is known. */
  readonly weightsDir: string | null;
  /** The kernel lock file: `path` itself, or for a marker that of its owner's claim. */
  readonly lockPath: string;
  /** For a kernel lock its own state; for a marker that of the kernel lock its owner holds with it. */
  readonly kernelLock: KernelLockState;
  /** For a key of a remote store: whether it is there under a lease, which ends with its owner. */
  readonly leased?: boolean;
  /** The owner record, for a marker only when it is tied to this very marker. */
  readonly record: OwnerRecord | null;
  /** The record names another time of the marker than it has: its owner's end proves nothing about the marker's. */
  readonly otherTime?: boolean;
  /** Set when something was written that could not be trusted. */
  readonly recordProblem: UnreadableRecord | null;
  readonly marker: MarkerFacts | null;
  /** The link on the way to the marker that has no folder behind it on this host: nobody can look whether there is one. */
  readonly leadsNowhere?: string;
  /** The holder's PID: from the record, the marker, or the process that has the locked file open. */
  readonly pid: number | null;
  /** When it was taken, local ISO time. */
  readonly startedAt: string | null;
}
