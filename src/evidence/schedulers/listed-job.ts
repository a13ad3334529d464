import type { HostName } from "../../model/host-name.ts";
import type { SchedulerJob } from "../../model/owner-record.ts";
import { firstLine, type ProgramAnswer } from "../../system/processes/run-program.ts";

export type SchedulerKind = SchedulerJob["kind"];

/**
 * `alive`: it runs, is suspended, or waits to run (again). `ended`: its processes are gone, says the scheduler. `unclear`: it
 * is ending, or its host is out of reach, where its processes may live on.
 */
export type JobMeaning = "alive" | "ended" | "unclear";

/** One job as its scheduler lists it. Null: it does not say. Times are seconds since the epoch. */
export interface ListedJob {
  readonly id: string;
  readonly arrayIndex: string | null;
  /** The state in the scheduler's own word. */
  readonly state: string;
  readonly means: JobMeaning;
  /** An `alive` job that waits to run: no process of it runs now. */
  readonly waits: boolean;
  readonly uid: number | null;
  readonly user: string | null;
  /** Valid host names only. */
  readonly hosts: readonly HostName[];
  readonly submittedAt: number | null;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly restartCount: number | null;
  /** Undefined: it names none. */
  readonly cluster?: string;
}

/** A host that the scheduler has given up: what ran there may run on. */
export interface LostHost {
  readonly host: HostName;
  /** Seconds since the epoch. */
  readonly since: number | null;
}

export type SchedulerAnswer =
  | {
      readonly kind: "jobs";
      readonly jobs: readonly ListedJob[];
      /** Beside those of listed jobs. Null: it could not be asked. */
      readonly lostHosts?: readonly LostHost[] | null;
      /** When nodes have booted, seconds since the epoch, where a job of the question was requeued. */
      readonly boots?: ReadonlyMap<string, number>;
      /** Whether users see their own jobs only. Undefined: it was not asked. */
      readonly hidesOthers?: boolean;
    }
  | { readonly kind: "no answer"; readonly why: string };

/** A job that a lock names. */
export interface WantedJob {
  readonly id: string;
  readonly arrayIndex: string | null;
  /** When the lock was taken, seconds since the epoch. */
  readonly lockedAt: number | null;
}

export interface SchedulerQuestion {
  readonly jobs: readonly WantedJob[];
  /** Running jobs of users are wanted too, to learn their hosts. */
  readonly allRunning: boolean;
  /** Runs one of the scheduler's commands in the time that is left. */
  readonly run: (argv: readonly [string, ...string[]]) => Promise<ProgramAnswer>;
}

export interface SchedulerProbe {
  readonly kind: SchedulerKind;
  /** As messages name it. */
  readonly title: string;
  /** The command that must be installed. */
  readonly command: string;
  ask(question: SchedulerQuestion): Promise<SchedulerAnswer>;
}

/** Why a command gave no list, in one line. */
export function noAnswer(command: string, answer: ProgramAnswer): SchedulerAnswer {
  switch (answer.kind) {
    case "missing":
      return { kind: "no answer", why: `${command} is not installed` };
    case "late":
      return { kind: "no answer", why: `${command} did not answer in time` };
    case "too much":
      return { kind: "no answer", why: `${command} answered with too much to read` };
    case "ended": {
      const said = firstLine(answer.stderr);
      return {
        kind: "no answer",
        why: `${command} failed (exit ${answer.exitCode ?? "by signal"})${said && `: ${said}`}`,
      };
    }
  }
}

/**
 * Why an answer without any job is none: it says something else than jobs, as a wrapper script or a broken command does and ends
 * with 0. Null: the list is empty, or has jobs.
 */
export function noList(
  command: string,
  answer: Extract<ProgramAnswer, { kind: "ended" }>,
  listed: readonly unknown[],
): { readonly kind: "no answer"; readonly why: string } | null {
  const complaint = firstLine(answer.stderr);
  if (listed.length > 0 || (answer.stdout.trim() === "" && complaint === "")) return null;
  // What it has listed in place of jobs may hold anything; `--debug` shows it without secrets.
  return { kind: "no answer", why: `${command} did not list jobs${complaint && `: ${complaint}`}` };
}

/** A count as a listing writes it; null for anything else. */
export function countOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}
