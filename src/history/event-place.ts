import { spelledJob } from "../model/owner-record.ts";
import { startTimeTicksOf } from "../system/processes/process-table.ts";
import { schedulerJob } from "../system/processes/scheduler-job.ts";
import { thisHost } from "../system/processes/this-host.ts";
import type { EventPlace } from "./event.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Where this process runs; `pid`: of the process that the event is of. */
export function eventPlace(pid: number = process.pid, env: Environment = process.env): EventPlace {
  const { hostname } = thisHost();
  const job = schedulerJob(env);
  return { host: hostname, pid, job: job && spelledJob(job), gpus: gpusOf(env) };
}

/**
 * How many GPUs a job may use: the ones it sees, else as many as its scheduler says that it has. Null: nobody says, which is no
 * word for none.
 */
function gpusOf(env: Environment): number | null {
  const visible = env.CUDA_VISIBLE_DEVICES;
  if (visible !== undefined) {
    // What follows the first one that is no device is not seen (CUDA's documentation of the variable).
    const names = visible.split(",").map((name) => name.trim());
    const end = names.findIndex((name) => !/^(?:\d{1,4}|(?:GPU|MIG)-\S+)$/.test(name));
    return end === -1 ? names.length : end;
  }
  for (const name of ["SLURM_GPUS_ON_NODE", "SLURM_GPUS"]) {
    const count = /(?:^|:)(\d{1,4})(?:\(.*)?$/.exec(env[name] ?? "")?.[1];
    if (count !== undefined) return Number(count);
  }
  return null;
}

/** The job that asks: its scheduler's, else whoever started the program (`starter`), which may be a loop of a shell. */
export function asker(starter: number = process.ppid, env: Environment = process.env): string {
  const job = schedulerJob(env);
  if (job !== null) return [job.kind, job.jobId, job.arrayIndex ?? "", job.restartCount].join(":");
  return ["process", starter, startTimeTicksOf(starter) ?? ""].join(":");
}
