import { constants } from "node:os";
import type { Busy, HeldLock, LockStore } from "../locks/lock.ts";
import type { Configuration } from "../model/configuration.ts";
import type { Layout } from "../model/layout.ts";
import type { Ending } from "../system/command-process.ts";
import { signalNumber } from "../system/signals.ts";
import { findCheckpoint } from "./checkpoints.ts";
import { makeSupervisor, type Supervisor } from "./supervise.ts";

export interface RunRequest {
  readonly layout: Layout;
  readonly store: LockStore;
  readonly configuration: Configuration;
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Patterns, relative to the weights dir, of files that show that nothing is left to train. */
  readonly doneWhen: readonly string[];
  /** What to do with the command when the lock is lost under it. */
  readonly onLost: "stop" | "warn";
  /** From SIGTERM to SIGKILL, milliseconds. */
  readonly killAfterMs: number;
  readonly onHeld: (lock: HeldLock) => void;
  readonly onLostLock: (why: string) => void;
  readonly onWarning: (text: string) => void;
}

export type RunOutcome =
  | { readonly kind: "done"; readonly checkpoint: string }
  | { readonly kind: "locked"; readonly busy: Busy }
  | { readonly kind: "interrupted"; readonly signal: number }
  | { readonly kind: "not started"; readonly errno: number }
  | { readonly kind: "lost"; readonly why: string }
  | { readonly kind: "ended"; readonly ending: Ending };

/** Takes the claim, runs the command, gives the claim back whatever happens. */
export async function runCommand(request: RunRequest): Promise<RunOutcome> {
  const { layout, store, configuration, argv, doneWhen, onHeld } = request;
  const weightsDir = layout.weightsDir(configuration);
  const checkpoint = await findCheckpoint(weightsDir, doneWhen);
  if (checkpoint !== null) return { kind: "done", checkpoint };
  const supervisor = makeSupervisor();
  try {
    const acquisition = await store.acquire(configuration, argv);
    if (acquisition.kind === "busy") return { kind: "locked", busy: acquisition.busy };
    const { lock } = acquisition;
    let exitCode: number | null = null;
    try {
      // Whoever held the lock a moment ago may have finished the training.
      const finished = await findCheckpoint(weightsDir, doneWhen);
      if (finished !== null) return { kind: "done", checkpoint: finished };
      if (supervisor.earlySignal !== null) return { kind: "interrupted", signal: signalNumber(supervisor.earlySignal) };
      onHeld(lock);
      const outcome = await underLock(request, lock, supervisor, weightsDir);
      exitCode = outcome.kind === "ended" ? exitCodeOf(outcome.ending) : null;
      return outcome;
    } finally {
      await lock.release({ exitCode });
    }
  } finally {
    supervisor.dispose();
  }
}

/** As shells report an ending: the command's own code, or 128 and the number of the signal. */
export function exitCodeOf(ending: Ending): number {
  return ending.kind === "exited" ? ending.code : 128 + ending.signal;
}

/** Whether a failed start means that there is no such command (127), or one that cannot be executed (126). */
export function isNotFound(errno: number): boolean {
  return errno === constants.errno.ENOENT;
}

async function underLock(
  request: RunRequest,
  lock: HeldLock,
  supervisor: Supervisor,
  weightsDir: string,
): Promise<RunOutcome> {
  const { layout, configuration, argv, onLost, killAfterMs, onLostLock, onWarning } = request;
  const started = supervisor.start({
    argv,
    env: {
      ...request.env,
      TRAINLOCK_WEIGHTS_DIR: weightsDir,
      TRAINLOCK_GENERATION: String(lock.generation),
      TRAINLOCK_TOKEN: lock.token,
      TRAINLOCK_NAME: layout.displayName(configuration),
    },
    keep: lock.descriptors,
  });
  if (started.kind === "failed") return { kind: "not started", errno: started.errno };
  let lostBecause: string | null = null;
  let killTimer: NodeJS.Timeout | undefined;
  const stopForLoss = () => {
    const why = lock.lost.reason instanceof Error ? lock.lost.reason.message : String(lock.lost.reason);
    onLostLock(why);
    if (onLost === "warn") return;
    lostBecause = why;
    started.signalGroup("SIGTERM");
    // A stopped command would sleep on its SIGTERM.
    started.signalGroup("SIGCONT");
    killTimer = setTimeout(() => started.signalGroup("SIGKILL"), killAfterMs);
  };
  if (lock.lost.aborted) stopForLoss();
  else lock.lost.addEventListener("abort", stopForLoss, { once: true });
  try {
    await lock.noteChild(started.pid);
  } catch (error) {
    onWarning(`the record could not be completed: ${error instanceof Error ? error.message : String(error)}`);
  }
  const ending = await started.ended;
  clearTimeout(killTimer);
  lock.lost.removeEventListener("abort", stopForLoss);
  return lostBecause === null ? { kind: "ended", ending } : { kind: "lost", why: lostBecause };
}
