import { sameHost } from "../model/host-name.ts";
import { expandNodes } from "../system/processes/slurm-node-list.ts";
import { thisHost } from "../system/processes/this-host.ts";

export interface Allocation {
  /** What starts a process on its hosts, and on no others. */
  readonly launcher: "srun" | "blaunch";
  readonly hosts: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The allocation that this process runs in, as its scheduler's environment tells (srun(1), and the environment variables of LSF
 * jobs); null outside of any.
 */
export function allocationOf(env: Environment): Allocation | null {
  if (env.SLURM_JOB_ID !== undefined && env.SLURM_JOB_NODELIST !== undefined)
    return { launcher: "srun", hosts: expandNodes(env.SLURM_JOB_NODELIST) };
  if (env.LSB_JOBID === undefined) return null;
  // "host1 4 host2 4"; the older one has a host as often as the job has slots there.
  const counted = env.LSB_MCPU_HOSTS?.match(/\S+(?=\s+\d+(?:\s|$))/g);
  const hosts = counted ?? env.LSB_HOSTS?.split(/\s+/).filter((host) => host !== "");
  return hosts === undefined ? null : { launcher: "blaunch", hosts: [...new Set(hosts)] };
}

/** Its hosts but this one. */
export function otherHostsOf(allocation: Allocation | null): string[] {
  return (allocation?.hosts ?? []).filter((host) => !sameHost(host, thisHost().hostname));
}
