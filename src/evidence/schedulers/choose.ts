import { isOnPath } from "../../system/processes/on-path.ts";
import type { SchedulerKind, SchedulerProbe } from "./listed-job.ts";
import { lsf } from "./lsf.ts";
import { pbs } from "./pbs.ts";
import { sge } from "./sge.ts";
import { slurm } from "./slurm.ts";

export const schedulerProbes: Readonly<Record<SchedulerKind, SchedulerProbe>> = { lsf, slurm, pbs, sge };

/** What is installed here; null: nothing, or nothing we know. PBS and Grid Engine share a command's name, not the others. */
export function schedulerOnPath(
  env: Readonly<Record<string, string | undefined>> = process.env,
): SchedulerProbe | null {
  if (isOnPath("bjobs", env.PATH)) return lsf;
  if (isOnPath("squeue", env.PATH)) return slurm;
  if (!isOnPath("qstat", env.PATH)) return null;
  return env.SGE_ROOT !== undefined || isOnPath("qhost", env.PATH) ? sge : pbs;
}
