import type { ClaimOutcome } from "../stores/store.ts";
import { acquireOrWait } from "../stores/wait-for-lock.ts";
import { inheritedDescriptors } from "../system/processes/inherited-descriptors.ts";
import { RunCount } from "./count-run.ts";
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
    let ended: ClaimOutcome = { exitCode: null };
    try {
      // Whoever held the lock a moment ago may have finished the training.
      const finished = await findDone(weightsDir, done);
      if (finished !== null) return { kind: "done", checkpoint: finished, startedAt: null };
      if (interrupted.aborted) return interruption(interrupted);
      tell.held(lock);
      const count = new RunCount(request, lock, weightsDir);
      const outcome = await runUnderLock(request, lock, supervisor, { weightsDir, inherited, ends: count.before });
      ended = await count.outcome(outcome);
      return outcome;
    } finally {
      await lock.release(ended);
    }
  } finally {
    supervisor.dispose();
  }
}

function interruption({ reason }: AbortSignal): RunOutcome {
  return { kind: "interrupted", signal: reason, startedAt: null };
}
