import { messageOf } from "../model/errors.ts";
import { lockAddress, openJoin } from "../stores/open-store.ts";
import { joinRank } from "../stores/ranks/follow-rank.ts";
import type { Launch } from "../stores/ranks/launch.ts";
import { leadRanks } from "../stores/ranks/lead-ranks.ts";
import { runCommand } from "./run-command.ts";
import type { RunOutcome, RunRequest } from "./run-request.ts";

const marginMs = 5000;

/** Runs one rank of several: rank 0 takes the lock, the others start and stop with it. See docs/job-scripts.md. */
export async function runRanked(request: RunRequest, launch: Launch): Promise<RunOutcome> {
  const { layout, store, configuration, killAfterMs, onLost, tell } = request;
  if (launch.rank > 0) {
    const address = await lockAddress(layout, configuration);
    const guard = { stops: onLost === "stop", killAfterMs };
    const join = await openJoin(layout, configuration, { guard, onNote: tell.warning });
    const joining = joinRank(layout, configuration, launch, { graceMs: killAfterMs, address, join });
    return runCommand({ ...request, store: joining, leads: false, waitMs: Number.POSITIVE_INFINITY });
  }
  // The others have one --kill-after to end by themselves, and one from SIGTERM to SIGKILL.
  const leading = leadRanks(store, layout, configuration, launch, 2 * killAfterMs + marginMs);
  try {
    return await runCommand({ ...request, store: leading.store });
  } finally {
    try {
      leading.conclude();
    } catch (error) {
      tell.warning(`the other ranks could not be told: ${messageOf(error)}`);
    }
  }
}
