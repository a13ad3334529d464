import { constants } from "node:os";
import { acquireOrWait } from "../stores/wait-for-lock.ts";
import type { Ending } from "../system/processes/command-process.ts";
import { inheritedDescriptors } from "../system/processes/inherited-descriptors.ts";
import { findDone } from "./done-rule.ts";
import type { RunOutcome, RunRequest } from "./run-request.ts";
import { runUnderLock } from "./run-under-lock.ts";
import { Supervisor } from "./supervise.ts";

/** Takes the claim, runs the command, gives the claim back whatever happens. */
export async function runCommand(request: RunRequest): Promise<RunOutcome> {
  const { layout, configuration, done, tell } = request;
  const inherited = inheritedDescriptors().filter((fd) => !request.output?.reserved.includes(fd));
  const weightsDir = layout.weightsDir(configuration);
  const checkpoint = await findDone(weightsDir, done);
  if (checkpoint !== null) return { kind: "done", checkpoint, startedAt: null };
  const supervisor = new Supervisor();
  const { interrupted } = supervisor;
  try {
    const acquisition = await acquireOrWait({
      ...request,
      command: request.argv,
      interrupted,
      onBusy: tell.waiting,
      onOutage: ({ message }) => tell.warning(`the store does not answer, still waiting: ${message}`),
    }).finally(tell.waited);
    if (interrupted.aborted && acquisition.kind !== "held") return interruption(interrupted);
    if (acquisition.kind === "busy") {
      // Who was waited for may have finished it.
      const meanwhile = await findDone(weightsDir, done);
      if (meanwhile !== null) return { kind: "done", checkpoint: meanwhile, startedAt: null };
      return { kind: "locked", busy: acquisition.busy, startedAt: null };
    }
    const { lock } = acquisition;
    let exitCode: number | null = null;
    try {
      // Whoever held the lock a moment ago may have finished the training.
      const finished = await findDone(weightsDir, done);
      if (finished !== null) return { kind: "done", checkpoint: finished, startedAt: null };
      if (interrupted.aborted) return interruption(interrupted);
      tell.held(lock);
      const outcome = await runUnderLock(request, lock, supervisor, { weightsDir, inherited });
      exitCode = outcome.kind === "ended" ? exitCodeOf(outcome.ending) : null;
      return outcome;
    } finally {
      await lock.release({ exitCode });
    }
  } finally {
    supervisor.dispose();
  }
}

function interruption({ reason }: AbortSignal): RunOutcome {
  return { kind: "interrupted", signal: reason, startedAt: null };
}

/** As shells report an ending: the command's own code, or 128 and the number of the signal. */
export function exitCodeOf(ending: Ending): number {
  return ending.kind === "exited" ? ending.code : 128 + ending.signal;
}

/** Whether a failed start means that there is no such command (127), or one that cannot be executed (126). */
export function isNotFound(errno: number): boolean {
  return errno === constants.errno.ENOENT;
}
