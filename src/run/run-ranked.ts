import { messageOf, UsageError } from "../model/errors.ts";
import { lockAddress, openJoin } from "../stores/open-store.ts";
import { joinRank } from "../stores/ranks/follow-rank.ts";
import type { Launch } from "../stores/ranks/launch.ts";
import { LaunchLeader } from "../stores/ranks/lead-ranks.ts";
import { unclearLaunch } from "../stores/ranks/unclear-launch.ts";
import { runCommand } from "./run-command.ts";
import type { RunOutcome, RunRequest } from "./run-request.ts";

const marginMs = 5000;

/**
 * Runs one rank of several: rank 0 takes the lock, the others start and stop with it. See docs/run.md. Throws a
 * UsageError, before anything starts, where the ranks cannot be told from those of another launch.
 */
export async function runRanked(request: RunRequest, launch: Launch): Promise<RunOutcome> {
  const { rank, size, rankVariable } = launch;
  // No rank 0 of this launch would ever be there. Slurm counts the tasks of a step of several jobs in more than one way.
  if (size !== null && rank >= size && rankVariable !== "SLURM_PROCID")
    throw new UsageError(`${rankVariable}=${rank} is no rank of a launch of ${size}: they count from 0`, {
      hint: "the variables may be of an earlier launch: unset them, or have one launcher set all of them",
    });
  if (launch.unclear !== null) throw unclearLaunch(launch.unclear);
  return launch.rank > 0 ? follow(request, launch) : lead(request, launch);
}

async function follow(request: RunRequest, launch: Launch): Promise<RunOutcome> {
  const { layout, configuration, killAfterMs, onLost, tell } = request;
  const address = await lockAddress(layout, configuration);
  const guard = { stops: onLost === "stop", killAfterMs };
  const join = await openJoin(layout, configuration, { guard, onNote: tell.warning });
  const following = joinRank(layout, configuration, launch, { graceMs: killAfterMs, address, join });
  const waitMs = Number.POSITIVE_INFINITY;
  return concluding(following, tell, () =>
    runCommand({ ...request, launch, store: following.store, leads: false, waitMs }),
  );
}

async function lead(request: RunRequest, launch: Launch): Promise<RunOutcome> {
  const { layout, store, configuration, killAfterMs, tell } = request;
  // The others have one --kill-after to end by themselves, and one from SIGTERM to SIGKILL.
  const waiting = { patienceMs: 2 * killAfterMs + marginMs, onNote: tell.warning };
  const leader = new LaunchLeader(store, layout, configuration, launch, waiting);
  return concluding(leader, tell, () => runCommand({ ...request, launch, store: leader.store }));
}

async function concluding(
  part: { conclude(): void },
  tell: RunRequest["tell"],
  run: () => Promise<RunOutcome>,
): Promise<RunOutcome> {
  try {
    return await run();
  } finally {
    try {
      part.conclude();
    } catch (error) {
      tell.warning(`the other ranks could not be informed: ${messageOf(error)}`);
    }
  }
}
