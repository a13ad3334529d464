import { LockLostError, messageOf } from "../model/errors.ts";
import { type StoreSettings, storeVariables } from "../site/store-settings.ts";
import type { HeldLock } from "../stores/store.ts";
import { dropStartUpCode } from "../system/processes/resident-memory.ts";
import { type DoneFile, writeDoneFile } from "./done-file.ts";
import { outlastGroup } from "./leftovers.ts";
import type { RunOutcome, RunRequest } from "./run-request.ts";
import type { Ended, Started, Supervisor } from "./supervise.ts";

/** A short command never pays for it; a check of the lock brings some code back. */
const dropCodeEveryMs = 2000;

/** Until a process that was sent SIGKILL writes no more. */
const killingTakesMs = 250;

export interface Surroundings {
  readonly weightsDir: string;
  /** Descriptors that were handed to us, and are for the command. */
  readonly inherited: readonly number[];
}

/**
 * Runs the command while the lock is held, and outlasts whatever it leaves in its process group. Throws a LockLostError where
 * the lock is lost before the command is started: whatever is to happen to one that runs, none is started then.
 */
export async function runUnderLock(
  request: RunRequest,
  lock: HeldLock,
  supervisor: Supervisor,
  { weightsDir, inherited }: Surroundings,
): Promise<RunOutcome> {
  const { layout, configuration, argv, killAfterMs, tell } = request;
  const startedAt = Date.now();
  if (lock.lost.aborted) {
    throw new LockLostError(`the lock was lost before the command was started: ${messageOf(lock.lost.reason)}`);
  }
  const started = supervisor.start({
    argv,
    env: {
      ...request.env,
      TRAINLOCK_WEIGHTS_DIR: weightsDir,
      TRAINLOCK_GENERATION: String(lock.generation),
      TRAINLOCK_TOKEN: lock.token,
      TRAINLOCK_LOCK: lock.address,
      ...storeEnvironment(layout.store),
      TRAINLOCK_NAME: layout.displayName(configuration),
      // Lets a script see that it was started by this very wrapper: variables are inherited by later jobs, parents are not.
      TRAINLOCK_PID: String(process.pid),
    },
    keep: [...inherited, ...lock.descriptors],
  });
  if (started.kind === "failed") return { kind: "not started", errno: started.errno, startedAt: null };
  const loss = watchLoss(request, lock, started);
  try {
    await lock.recordChild(started.pid);
  } catch (error) {
    tell.warning(`the record could not be completed: ${messageOf(error)}`);
  }
  const dropping = setInterval(dropStartUpCode, dropCodeEveryMs);
  const ended = await started.ended;
  clearInterval(dropping);
  await outlastGroup(started.pid, { onRemaining: tell.remaining, onKill: tell.killing, killAfterMs });
  // A keeper may have ended it for a loss while this process was stopped: that message counts, too.
  await lock.catchUp?.();
  const why = loss.settle();
  if (why !== null) return { kind: "lost", why, ending: ended.ending, startedAt };
  noteDone(request, lock, weightsDir, ended, startedAt);
  return { kind: "ended", ...ended, startedAt };
}

/** What `held` in the command needs to reach the store; a nested call looks there, too. */
function storeEnvironment(store: StoreSettings | null): Record<string, string> {
  if (store === null) return {};
  const entries = Object.entries(storeVariables) as [keyof typeof storeVariables, string][];
  return Object.fromEntries(entries.map(([key, variable]) => [variable, store[key] ?? ""]));
}

/** Stops the command when its lock is lost, unless it was asked only to warn. */
function watchLoss(
  { onLost, killAfterMs, tell }: RunRequest,
  { lost }: HeldLock,
  command: Extract<Started, { kind: "started" }>,
): { settle(): string | null } {
  let stoppedBecause: string | null = null;
  let killTimer: NodeJS.Timeout | undefined;
  const onLoss = () => {
    const why = messageOf(lost.reason);
    tell.lost(why);
    if (onLost === "warn") return;
    stoppedBecause = why;
    command.signalGroup("SIGTERM");
    // A stopped command would sleep on its SIGTERM.
    command.signalGroup("SIGCONT");
    const graceMs = graceFor(lost.reason, killAfterMs);
    if (graceMs === 0) command.signalGroup("SIGKILL");
    else killTimer = setTimeout(() => command.signalGroup("SIGKILL"), graceMs);
  };
  if (lost.aborted) onLoss();
  else lost.addEventListener("abort", onLoss, { once: true });
  return {
    settle: () => {
      clearTimeout(killTimer);
      lost.removeEventListener("abort", onLoss);
      return stoppedBecause;
    },
  };
}

/** From SIGTERM to SIGKILL: no longer than it is certain that nobody else has the lock, where that is known. */
function graceFor(reason: unknown, killAfterMs: number): number {
  const stopWithinMs = reason instanceof LockLostError ? reason.stopWithinMs : null;
  return stopWithinMs === null ? killAfterMs : Math.max(0, Math.min(killAfterMs, stopWithinMs - killingTakesMs));
}

function noteDone(
  { done, argv, configuration, leads, tell }: RunRequest,
  lock: HeldLock,
  weightsDir: string,
  { ending }: Ended,
  startedAt: number,
): void {
  if (!leads || done.file === null || ending.kind !== "exited" || ending.code !== 0 || lock.lost.aborted) return;
  const content: DoneFile = {
    configuration,
    generation: lock.generation,
    command: argv,
    startedAt,
    endedAt: Date.now(),
  };
  try {
    writeDoneFile(weightsDir, done.file, content);
  } catch (error) {
    tell.warning(`${done.file} could not be written: ${messageOf(error)}`);
  }
}
