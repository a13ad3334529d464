import { isHostName } from "../../model/host-name.ts";
import type { ListedJob, LostHost, SchedulerQuestion } from "./listed-job.ts";
import { isoSeconds } from "./times.ts";

/**
 * The nodes that Slurm has given up, and since when, by sinfo(1); null when it does not say. Some minutes after a NODE_FAIL
 * squeue forgets the job, and nothing else tells that its processes may live on beyond the cut.
 */
export async function lostNodes(run: SchedulerQuestion["run"]): Promise<readonly LostHost[] | null> {
  const states = "--states=down,fail";
  const answer = await run(["sinfo", "--noheader", "--all", "--Node", states, "--format=%n|%H"]);
  if (answer.kind !== "ended" || answer.exitCode !== 0) return null;
  const lost = parseSinfo(answer.stdout);
  // Something else than nodes says nothing about them.
  return lost.length === 0 && answer.stdout.trim() !== "" ? null : lost;
}

/** Slurm notices a cut after SlurmdTimeout; a node lost later than this after a job's end has nothing to do with it. */
const noticeSeconds = 1800;

/**
 * Pure. A job that is cancelled while its node is cut off counts as CANCELLED once the node is given up: nobody has seen its
 * processes end. Null for the nodes: they could not be asked, and the end stands as it is told.
 */
export function doubtEnd(job: ListedJob, lost: readonly LostHost[] | null): ListedJob {
  if (job.means !== "ended" || lost === null) return job;
  const cut = lost.some(({ host, since }) => {
    // An earlier time proves nothing: a node that was being drained keeps the time of that.
    const before = since === null || job.endedAt === null || since < job.endedAt + noticeSeconds;
    return before && job.hosts.includes(host);
  });
  return cut ? { ...job, means: "unclear", state: `${job.state} with its node down` } : job;
}

/** Pure: a line a node, with the time at which its state was explained; `Unknown` where it was not. */
export function parseSinfo(text: string): LostHost[] {
  return text.split("\n").flatMap((line) => {
    const [host = "", since] = line.trim().split("|");
    return isHostName(host) ? [{ host, since: isoSeconds(since) }] : [];
  });
}

/** When each node has booted, by scontrol(1); empty where it does not say. */
export async function nodeBoots(run: SchedulerQuestion["run"]): Promise<ReadonlyMap<string, number>> {
  const answer = await run(["scontrol", "show", "nodes", "--oneliner"]);
  return answer.kind === "ended" && answer.exitCode === 0 ? parseBoots(answer.stdout) : new Map();
}

/** Pure: a line a node, of which the name and `BootTime` are read; `None` for a node that was never up. */
export function parseBoots(text: string): ReadonlyMap<string, number> {
  return new Map(
    text.split("\n").flatMap((line): [string, number][] => {
      const host = /\bNodeHostName=(\S+)/.exec(line)?.[1] ?? /^NodeName=(\S+)/.exec(line)?.[1] ?? "";
      const bootedAt = isoSeconds(/\bBootTime=(\S+)/.exec(line)?.[1]);
      return isHostName(host) && bootedAt !== null ? [[host, bootedAt]] : [];
    }),
  );
}
