import { relative, resolve } from "node:path";
import { acquireOrWait } from "../stores/wait-for-lock.ts";
import { inheritedDescriptors } from "../system/processes/inherited-descriptors.ts";
import { type CountedOutcome, RunCount } from "./count-run.ts";
import { asksAnything } from "./done-rule.ts";
import { type DoneFinding, findDone } from "./find-done.ts";
import { RunHistory } from "./run-history.ts";
import type { RunOutcome, RunRequest } from "./run-request.ts";
import { runUnderLock } from "./run-under-lock.ts";
import { makeWay } from "./set-aside.ts";
import { Supervisor } from "./supervise.ts";

/** Takes the claim, runs the command, gives the claim back whatever happens. */
export async function runCommand(request: RunRequest): Promise<RunOutcome> {
  const weightsDir = request.layout.weightsDir(request.configuration);
  const history = new RunHistory(request);
  try {
    const outcome = await runUnlessDone(request, history);
    if (outcome.kind === "done") history.skipped(relative(weightsDir, resolve(weightsDir, outcome.checkpoint)));
    if (outcome.kind === "locked") history.refused(outcome.busy);
    return outcome;
  } finally {
    await history.settled();
  }
}

async function runUnlessDone(request: RunRequest, history: RunHistory): Promise<RunOutcome> {
  const { layout, configuration, done, leads, tell } = request;
  const inherited = inheritedDescriptors().filter(
    (fd) => fd !== request.leftLock && !request.output?.reserved.includes(fd),
  );
  const weightsDir = layout.weightsDir(configuration);
  const before = await lookForDone(request);
  if (before !== null) return before;
  const supervisor = new Supervisor();
  const { interrupted } = supervisor;
  try {
    const acquisition = await acquireOrWait({
      ...request,
      command: request.argv,
      interrupted,
      onBusy: (busy) => {
        history.refused(busy);
        tell.waiting(busy);
      },
      onOutage: ({ message }) => tell.warning(`the store does not answer, still waiting: ${message}`),
    }).finally(tell.waited);
    if (interrupted.aborted && acquisition.kind !== "held") return interruption(interrupted);
    if (acquisition.kind === "busy") {
      // Who was waited for may have finished it.
      return (await lookForDone(request)) ?? { kind: "locked", busy: acquisition.busy, startedAt: null };
    }
    const { lock } = acquisition;
    let ended: CountedOutcome = { exitCode: null };
    try {
      // The holder of a moment ago may have finished the training. A rank that joins has the lock of one that trains.
      const { againSinceMs } = request;
      const look = () =>
        againSinceMs === undefined
          ? findDone(layout, configuration, done)
          : makeWay(layout, configuration, done, againSinceMs);
      const finished = leads ? doneOutcome(await look()) : null;
      if (finished !== null) return finished;
      const count = await RunCount.begin(request, lock);
      const settled = leads ? (request.settledBy?.(count.before) ?? null) : null;
      if (settled !== null) return { ...settled, startedAt: null };
      if (interrupted.aborted) return interruption(interrupted);
      tell.held(lock, leads);
      history.claimed(lock, count.before);
      const surroundings = { weightsDir, inherited, ends: count.before };
      const outcome = await runUnderLock(request, lock, supervisor, surroundings).catch((error: unknown) => {
        history.notRun(error, count.before);
        throw error;
      });
      ended = await count.outcome(outcome);
      history.ended(ended);
      return outcome;
    } finally {
      await lock.release(ended);
    }
  } finally {
    supervisor.dispose();
  }
}

/** Without the lock: the files first, for what is there while nobody holds the configuration was finished before. */
async function lookForDone({
  layout,
  configuration,
  done,
  isHeld,
  againSinceMs,
}: RunRequest): Promise<RunOutcome | null> {
  if (!asksAnything(done) || againSinceMs !== undefined) return null;
  const found = await findDone(layout, configuration, done);
  if (found.kind === "not done" || (await isHeld())) return null;
  return doneOutcome(found);
}

/** Throws where what the rule names is another configuration's. */
function doneOutcome(found: DoneFinding): RunOutcome | null {
  if (found.kind === "another's") throw found.error;
  return found.kind === "done" ? { kind: "done", checkpoint: found.path, startedAt: null } : null;
}

function interruption({ reason }: AbortSignal): RunOutcome {
  return { kind: "interrupted", signal: reason, startedAt: null };
}
