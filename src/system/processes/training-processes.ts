import type { SchedulerJob, TrainlockSection } from "../../model/owner-record.ts";
import { readNotedTree } from "./noted-tree.ts";
import { environmentOf, pidsInsideContainers, processesWithToken } from "./process-table.ts";
import { ancestorsOf, commandLineOf, readTreeProcess, type TreeProcess } from "./process-tree.ts";
import { mayBeEqual, schedulerJob } from "./scheduler-job.ts";
import { thisHost } from "./this-host.ts";

/** Which claim's: what its record says of that. */
type Claimed = Pick<TrainlockSection, "token" | "bootId" | "pidNamespace" | "scheduler">;

/**
 * The living processes of this host that belong to a claim's training, its wrapper aside: those that the wrapper noted beside
 * the record, and those that carry the claim's token and are of the same job. A variable alone proves nothing: jobs that a
 * training submits inherit it. The process that asks, what it started, and its ancestors never count: a job script that asks
 * again after its training was killed must not wait for itself. None where the claim was made on another boot. Of a container's
 * claim those that are seen from here, by their numbers here.
 */
export function trainingProcesses(section: Claimed, weightsDir: string | null): TreeProcess[] {
  const { token, bootId, pidNamespace } = section;
  const host = thisHost();
  if (token === null || bootId === null || bootId !== host.bootId) return [];
  const noted = weightsDir === null ? [] : readNotedTree(weightsDir, { token, bootId, pidNamespace });
  const carriers = carriersOf(token, section.scheduler);
  const own = ancestorsOf(process.pid);
  const found = new Map<number, TreeProcess>();
  const inside = noted.length === 0 || pidNamespace === host.pidNamespace ? null : pidsInsideContainers();
  for (const { pid, startTimeTicks } of noted) {
    for (const here of inside === null ? [pid] : (inside.get(pid) ?? [])) {
      const there = readTreeProcess(here);
      if (there?.startTimeTicks === startTimeTicks) found.set(there.pid, there);
    }
  }
  for (const pid of carriers) {
    const there = readTreeProcess(pid);
    if (there !== null) found.set(pid, there);
  }
  const living = [...found.values()].filter(
    ({ pid, runs }) => runs && !own.has(pid) && !ancestorsOf(pid).has(process.pid),
  );
  return [...living.filter((each) => !isTracker(each)), ...living.filter(isTracker)];
}

/** Python's multiprocessing starts it before any worker, and it ends after the last one: it is never the one to look at. */
export function isTracker(process: TreeProcess): boolean {
  return commandLineOf(process).includes("from multiprocessing.resource_tracker import main");
}

/** The processes that carry a claim's token and are of its job. A job that the training has submitted inherits the token, too. */
export function carriersOf(token: string, job: SchedulerJob | null): number[] {
  return processesWithToken(token).filter((pid) => isOfJob(pid, job));
}

/** Whether a process is found by its variables alone, as the claim's and of this process's job. */
export function isCarrier(pid: number, token: string): boolean {
  const environment = environmentOf(pid);
  return environment?.TRAINLOCK_TOKEN === token && isSameRun(schedulerJob(environment), schedulerJob(process.env));
}

/** Whether a process runs in this very job: the same element, and no other run of it. Null: outside of any job. */
function isOfJob(pid: number, job: SchedulerJob | null): boolean {
  const environment = environmentOf(pid);
  return environment !== null && isSameRun(schedulerJob(environment), job);
}

/** The same job and element in the same run; null on both sides: outside of any job. */
export function isSameRun(theirs: SchedulerJob | null, job: SchedulerJob | null): boolean {
  if (theirs === null || job === null) return theirs === job;
  if (theirs.kind !== job.kind || theirs.jobId !== job.jobId || theirs.arrayIndex !== job.arrayIndex) return false;
  return theirs.restartCount === job.restartCount && mayBeEqual(theirs.cluster, job.cluster);
}
