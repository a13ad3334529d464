import { LockLostError, messageOf } from "../model/errors.ts";
import type { RunEnds } from "../model/run-ends.ts";
import { environmentOfStore } from "../site/store-settings.ts";
import type { HeldLock } from "../stores/store.ts";
import { sleep } from "../system/clock/sleep.ts";
import { callerArguments, callerEnvironment, callerOpenFilesLimit } from "../system/processes/caller.ts";
import type { Ending } from "../system/processes/command-process.ts";
import type { TreeProcess } from "../system/processes/process-tree.ts";
import { dropStartUpCode } from "../system/processes/resident-memory.ts";
import { signalName, stopSignals } from "../system/processes/signals.ts";
import { stopTree } from "../system/processes/stop-tree.ts";
import { isCarrier } from "../system/processes/training-processes.ts";
import { type GuardProcess, startGuard } from "./guard-process.ts";
import { outlastTree } from "./leftovers.ts";
import { DoneNote } from "./note-done.ts";
import { TreeNotes } from "./note-tree.ts";
import { findResumePoints, type ResumePoints } from "./resume.ts";
import type { RunOutcome, RunRequest } from "./run-request.ts";
import type { FollowedCommand } from "./running-command.ts";
import type { Starter } from "./supervise.ts";
import { type Traces, watchTree } from "./watch-tree.ts";

/** A short command never pays for it; a check of the lock brings some code back. */
const dropCodeEveryMs = 2000;

/** Until a process that was sent SIGKILL writes no more. */
const killingTakesMs = 250;
/** How long we wait for the same signal ourselves after a command has died of it. */
const signalPatienceMs = 200;

export interface Surroundings {
  readonly weightsDir: string;
  /** Descriptors that were handed to us, and are for the command. */
  readonly inherited: readonly number[];
  /** How the runs before this one ended. */
  readonly ends: RunEnds;
}

/**
 * Runs the command while the lock is held, and outlasts whatever it leaves of its process tree. Throws a LockLostError where
 * the lock is lost before the command is started: whatever is to happen to one that runs, none is started then.
 */
export async function runUnderLock(
  request: RunRequest,
  lock: HeldLock,
  supervisor: Starter,
  surroundings: Surroundings,
): Promise<RunOutcome> {
  const { killAfterMs } = request;
  const startedAt = Date.now();
  if (lock.lost.aborted) throw lostBefore(lock);
  const keep = [...surroundings.inherited, ...lock.descriptors];
  const output = request.output?.open(lock, surroundings.weightsDir, request.layout);
  const guard = request.dieWithWrapper ? startGuard(killAfterMs, lock) : null;
  try {
    const note = new DoneNote(request, lock, surroundings.weightsDir, { startedAt, outputs: output ?? [1, 2] });
    const resume = await findResumePoints(request.layout, request.configuration, request.done.smallestBytes);
    if (lock.lost.aborted) throw lostBefore(lock);
    const started = supervisor.start({
      argv: callerArguments(request.argv),
      environment: callerEnvironment(commandVariables(request, lock, surroundings, resume)),
      keep,
      openFilesLimit: callerOpenFilesLimit(),
      descriptors: (output ?? []).map((fd, index) => [fd, index + 1] as const),
    });
    if (started.kind === "failed") return { kind: "not started", errno: started.errno, startedAt: null };
    return await followCommand(request, lock, started.command, { ...surroundings, guard, note, startedAt });
  } finally {
    guard?.dismiss();
  }
}

function lostBefore({ lost }: HeldLock): LockLostError {
  return new LockLostError(`the lock was lost before the command was started: ${messageOf(lost.reason)}`);
}

interface Following extends Surroundings {
  readonly guard: GuardProcess | null;
  readonly note: DoneNote;
  readonly startedAt: number;
}

async function followCommand(
  request: RunRequest,
  lock: HeldLock,
  command: FollowedCommand,
  { weightsDir, ends, guard, note, startedAt }: Following,
): Promise<RunOutcome> {
  const { leftovers: policy, killAfterMs, tell } = request;
  const loss = watchLoss(request, lock, command);
  const notes = new TreeNotes(request, lock, weightsDir, guard);
  notes.begin(command.pid);
  try {
    await lock.recordChild(command.pid, ends);
  } catch (error) {
    tell.warning(`the record could not be completed: ${messageOf(error)}`);
  }
  const traces: Traces = {
    leavesTrace: (pid) => isCarrier(pid, lock.token),
    holdsLock: (each) => notes.holdsLock(each),
  };
  const stopWatching = watchTree(command.tree, traces, (living) => notes.write(living));
  const dropping = setInterval(dropStartUpCode, dropCodeEveryMs);
  try {
    const ended = await command.ended;
    const { ending } = ended;
    const endedWell = ending.kind === "exited" && ending.code === 0;
    const rules = { policy, endedWell, killAfterMs, hurried: command.hurried, stopped: loss.stopped };
    const { byItself, left } = await outlastTree(command.tree, rules, tell);
    // A keeper may have ended it for a loss while this process was stopped: that message counts, too.
    await lock.catchUp?.();
    const lost = await loss.settle();
    if (lost !== null) return { kind: "lost", ...ended, ...lost, stopSignal: command.stopSignal, startedAt };
    const stopSignal = await stopSignalOf(command, ending);
    if (left.length > 0) tell.left(left, "as asked");
    if (byItself && endedWell) await note.write(stopSignal);
    return { kind: "ended", ...ended, left, stopSignal, startedAt };
  } finally {
    clearInterval(dropping);
    stopWatching();
    notes.remove();
  }
}

/** If somebody signals us and the command at once, the command often gets its signal first. */
async function stopSignalOf(command: FollowedCommand, ending: Ending): Promise<NodeJS.Signals | null> {
  if (ending.kind !== "signalled") return command.stopSignal;
  const name = signalName(ending.signal);
  if (stopSignals.has(name) && command.stopSignal === null) await sleep(signalPatienceMs);
  return command.stopSignal ?? [...command.passedOn].find((signal) => signal === name) ?? null;
}

function commandVariables(
  { layout, configuration, launch }: RunRequest,
  lock: HeldLock,
  { weightsDir, ends }: Surroundings,
  resume: ResumePoints,
): Readonly<Record<string, string>> {
  return {
    TRAINLOCK_WEIGHTS_DIR: weightsDir,
    TRAINLOCK_CHECKPOINT: resume.newest,
    TRAINLOCK_CHECKPOINT_BEFORE: resume.before,
    TRAINLOCK_GENERATION: String(lock.generation),
    TRAINLOCK_TOKEN: lock.token,
    TRAINLOCK_LOCK: lock.address,
    // `held` in the command needs it to reach the store; a nested call looks there, too.
    ...environmentOfStore(layout.store),
    TRAINLOCK_ATTEMPT: String(ends.attempts + 1),
    TRAINLOCK_LAST_EXIT: String(ends.lastExit ?? ""),
    TRAINLOCK_NAME: layout.displayName(configuration),
    // Lets a script see that it was started by this very wrapper: variables are inherited by later jobs, parents are not.
    TRAINLOCK_PID: String(process.pid),
    // Ranks inside of a rank have the same variables and other parents.
    ...(launch === null || process.env.TRAINLOCK_LAUNCH ? {} : { TRAINLOCK_LAUNCH: lock.token }),
  };
}

interface Loss {
  /** Aborts when the tree is being stopped for it. */
  readonly stopped: AbortSignal;
  /** Null: not lost, or only warned of. Else once the tree is gone, with what could not be killed. */
  settle(): Promise<{ readonly why: string; readonly left: readonly TreeProcess[] } | null>;
}

/** Stops the command's whole tree when its lock is lost, unless it was asked only to warn. */
function watchLoss({ onLost, killAfterMs, tell }: RunRequest, { lost }: HeldLock, { tree }: FollowedCommand): Loss {
  const stopped = new AbortController();
  let stopping: Promise<readonly TreeProcess[]> | null = null;
  const onLoss = () => {
    tell.lost(messageOf(lost.reason));
    if (onLost === "warn") return;
    stopping = stopTree(() => tree.living(), graceFor(lost.reason, killAfterMs));
    stopped.abort();
  };
  if (lost.aborted) onLoss();
  else lost.addEventListener("abort", onLoss, { once: true });
  return {
    stopped: stopped.signal,
    settle: async () => {
      lost.removeEventListener("abort", onLoss);
      if (stopping === null) return null;
      const left = await stopping;
      if (left.length > 0) tell.left(left, "not killed");
      return { why: messageOf(lost.reason), left };
    },
  };
}

/** From SIGTERM to SIGKILL: no longer than it is certain that nobody else has the lock, where that is known. */
function graceFor(reason: unknown, killAfterMs: number): number {
  const stopWithinMs = reason instanceof LockLostError ? reason.stopWithinMs : null;
  return stopWithinMs === null ? killAfterMs : Math.max(0, Math.min(killAfterMs, stopWithinMs - killingTakesMs));
}
