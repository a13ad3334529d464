import { isHostName } from "../../model/host-name.ts";
import type { LostHost, SchedulerQuestion } from "./listed-job.ts";
import { isoSeconds } from "./times.ts";

/**
 * The nodes that Slurm has given up, and since when, by sinfo(1); null when it does not say. Some minutes after a NODE_FAIL
 * squeue forgets the job, and nothing else tells that its processes may live on beyond the cut.
 */
export async function lostNodes(run: SchedulerQuestion["run"]): Promise<readonly LostHost[] | null> {
  const states = "--states=down,fail";
  const answer = await run(["sinfo", "--noheader", "--all", "--Node", states, "--format=%n|%H"]);
  return answer.kind === "ended" && answer.exitCode === 0 ? parseSinfo(answer.stdout) : null;
}

/** Pure: a line a node, with the time at which its state was explained; `Unknown` where it was not. */
export function parseSinfo(text: string): LostHost[] {
  return text.split("\n").flatMap((line) => {
    const [host = "", since] = line.trim().split("|");
    return isHostName(host) ? [{ host, since: isoSeconds(since) }] : [];
  });
}
