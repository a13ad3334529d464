import type { EventLog } from "../history/event-log.ts";
import type { Configuration } from "../model/configuration.ts";
import type { RunEnds } from "../model/run-ends.ts";
import type { Layout } from "../site/layout.ts";
import type { Launch } from "../stores/ranks/launch.ts";
import type { Busy, HeldLock, LockStore } from "../stores/store.ts";
import type { Bounds } from "../system/files/outside-root.ts";
import type { TreeProcess } from "../system/processes/process-tree.ts";
import type { DoneRule } from "./done-rule.ts";
import type { LeftoverPolicy } from "./leftovers.ts";
import type { Ended } from "./running-command.ts";

export interface RunRequest {
  readonly layout: Layout;
  readonly store: LockStore;
  readonly configuration: Configuration;
  readonly argv: readonly [string, ...string[]];
  readonly done: DoneRule;
  /** Whether somebody holds the configuration, or may: what the done rule names does not count then. */
  readonly isHeld: () => Promise<boolean>;
  /** What this run is a rank of; null: it is none. */
  readonly launch: Launch | null;
  /** False for a rank that joins another's run: what that one notes down is not for each of them. */
  readonly leads: boolean;
  /** How long to wait for a lock that another has, milliseconds; 0 not at all, Infinity without end. */
  readonly waitMs: number;
  /** What to do with the command when the lock is lost under it. */
  readonly onLost: "stop" | "warn";
  /** From SIGTERM to SIGKILL, milliseconds; also how long what a command leaves behind may go on before its SIGTERM. */
  readonly killAfterMs: number;
  /** What becomes of processes that go on when the command has ended; null: see leftovers.ts. */
  readonly leftovers: LeftoverPolicy | null;
  /** When this process is killed, the tree is, too. */
  readonly dieWithWrapper: boolean;
  readonly history: EventLog;
  readonly tell: RunEvents;
  /** Whether what has failed until now does not count any more. */
  readonly forgetsAttempts?: boolean;
  /** Train again what is done, unless that was after this time, milliseconds since the epoch; absent: not again. */
  readonly againSinceMs?: number;
  /** What the runs before have made of it, asked once the lock is held: between look and claim others may have trained. */
  readonly settledBy?: (before: RunEnds) => Settled | null;
  /** The kernel lock's descriptor, which was left to us: the lock's, and not the command's as other descriptors are. */
  readonly leftLock?: number;
  /** Where the command's output goes; absent: where ours does. */
  readonly output?: CommandOutput;
}

export interface CommandOutput {
  /** Descriptors that we were started with for this alone: the command does not keep them under their numbers. */
  readonly reserved: readonly number[];
  /** Opens it, once the lock is held: descriptors that become standard output and standard error. `site`: see {@link Bounds}. */
  open(lock: HeldLock, weightsDir: string, site: Bounds): readonly [output: number, errors: number];
}

/** What happens on the way, for the code that shows it. */
export interface RunEvents {
  waiting(busy: Busy): void;
  waited(): void;
  /** `leads`: false for a rank that joins another's run. */
  held(lock: HeldLock, leads: boolean): void;
  lost(why: string): void;
  /** `waits`: the lock is kept for as long as they run. */
  remaining(processes: readonly TreeProcess[], waits: boolean): void;
  killing(processes: readonly TreeProcess[]): void;
  /** They live on after SIGKILL, or as the caller wished. */
  left(processes: readonly TreeProcess[], why: "not killed" | "as asked"): void;
  warning(text: string): void;
}

interface EndedTree extends Ended {
  readonly left: readonly TreeProcess[];
  /** The first signal that stops trainings that was passed on to the command; null: none was. */
  readonly stopSignal: NodeJS.Signals | null;
}

/** Nothing is to be trained: the last run ended well, or as many as may have failed. */
export type Settled = { readonly kind: "ended well" } | { readonly kind: "used up"; readonly attempts: number };

export type RunOutcome = (
  | { readonly kind: "done"; readonly checkpoint: string }
  | Settled
  | { readonly kind: "locked"; readonly busy: Busy }
  | { readonly kind: "interrupted"; readonly signal: NodeJS.Signals }
  | { readonly kind: "not started"; readonly errno: number }
  | ({ readonly kind: "lost"; readonly why: string } & EndedTree)
  | ({ readonly kind: "ended" } & EndedTree)
) & {
  /** Milliseconds since the epoch; null when the command never ran. */
  readonly startedAt: number | null;
};
