import type { LivingProcess } from "./holder.ts";

/** Who was asked. */
export type EvidenceSource =
  | "kernel-lock"
  | "process"
  | "boot"
  | "record"
  | "marker"
  | "lease"
  | "mount"
  | "ssh"
  | "lsf"
  | "slurm"
  | "pbs"
  | "sge"
  | "files";

/** Why somebody is dead: the words behind `STALE - `. */
export type DeathReason = "lock not held" | "PID not running" | "no PID" | "host rebooted" | "job ended";
/** Why the verdict is unknown: the words behind `UNKNOWN - `. */
export type DoubtReason =
  | "newer trainlock"
  | "being created"
  | "other container"
  | "remote process"
  /** The holder's job waits to run again, and will want its lock back. */
  | "job requeued"
  /** What proves the holder's end is not proof enough while its host does not answer. */
  | "host not reached"
  /** A training may go on there, though its holder is gone. */
  | "still being written"
  /** A link on the way to the weights dir has no folder behind it on this host. */
  | "link leads nowhere here"
  | DoubtInUse;

/** The process that has a file open there. */
export type DoubtInUse = `in use by PID ${number}`;

/**
 * One finding about the holder of a lock. A probe that fails is `unknown`, never an exception. Age, "job not found", an
 * unreadable record or an unreachable host is never `dead`.
 */
export type Evidence =
  | {
      readonly source: EvidenceSource;
      readonly says: "alive";
      readonly detail: string;
      /** Where it was found, for a lock that does not say so itself. */
      readonly where?: { readonly host: string; readonly jobId: string | null };
      /** The process that keeps the lock in place of the one that the lock names, which has ended. */
      readonly living?: LivingProcess;
    }
  | {
      readonly source: EvidenceSource;
      readonly says: "dead";
      readonly because: DeathReason;
      readonly detail: string;
      /** The holder's host was not asked: it may be cut off from the file server, and train on. */
      readonly unseenOn?: string;
    }
  | {
      readonly source: EvidenceSource;
      readonly says: "unknown";
      readonly because: DoubtReason;
      readonly detail: string;
      /** A process was found that may be the holder: that it is not found elsewhere proves no end. */
      readonly maybeFound?: true;
    };

export function isInUse(doubt: DoubtReason): doubt is DoubtInUse {
  return doubt.startsWith("in use by PID ");
}

/** Whether a doubt goes away by itself when nobody writes any more. */
export function isAboutWrites(doubt: DoubtReason): boolean {
  return doubt === "still being written" || isInUse(doubt);
}

/** The process that was found in a dead holder's place; null: none was, or the holder itself lives. */
export function livingIn(evidence: readonly Evidence[]): LivingProcess | null {
  return evidence.flatMap((item) => (item.says === "alive" && item.living ? [item.living] : []))[0] ?? null;
}

export type Verdict =
  | { readonly status: "active"; readonly label: "ACTIVE" }
  | { readonly status: "stale"; readonly label: `STALE - ${DeathReason}`; readonly because: DeathReason }
  | { readonly status: "unknown"; readonly label: `UNKNOWN - ${DoubtReason}`; readonly because: DoubtReason }
  | { readonly status: "unverified"; readonly label: "UNVERIFIED" };
