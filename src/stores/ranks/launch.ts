import { readStatLine } from "../../system/processes/proc-files.ts";
import { schedulerJob } from "../../system/processes/scheduler-job.ts";
import { thisHost } from "../../system/processes/this-host.ts";

/** Several tasks that one launcher (srun, mpirun, torchrun) has started together. */
export interface Launch {
  readonly rank: number;
  /** How many there are; null when the launcher does not say. */
  readonly size: number | null;
  /** The same for all ranks of one launch and for no other launch; fit for a file name. */
  readonly key: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

interface Launcher {
  readonly rank: string;
  readonly sizes: readonly string[];
  /** What tells this launch from the others of its job; the first group that is complete counts. */
  readonly names: readonly (readonly string[])[];
}

/** The innermost first: mpirun within a job step sets its own variables and inherits srun's. */
const launchers: readonly Launcher[] = [
  {
    rank: "RANK",
    sizes: ["WORLD_SIZE"],
    names: [
      ["TORCHELASTIC_RUN_ID", "MASTER_PORT"],
      ["MASTER_ADDR", "MASTER_PORT"],
    ],
  },
  {
    rank: "OMPI_COMM_WORLD_RANK",
    sizes: ["OMPI_COMM_WORLD_SIZE"],
    names: [["PMIX_NAMESPACE"], ["OMPI_MCA_ess_base_jobid"], ["OMPI_MCA_orte_hnp_uri"]],
  },
  { rank: "PMIX_RANK", sizes: ["PMIX_SIZE", "SLURM_STEP_NUM_TASKS"], names: [["PMIX_NAMESPACE"]] },
  { rank: "SLURM_PROCID", sizes: ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"], names: [["SLURM_STEP_ID"]] },
  { rank: "PMI_RANK", sizes: ["PMI_SIZE"], names: [["PMI_JOBID"], ["HYDI_CONTROL_FD"]] },
];

/**
 * The launch this process is part of, by its environment. Null outside of one: a batch script has SLURM_PROCID as well, but
 * no step; RANK alone is too common a name. TRAINLOCK_LAUNCH names the launch where its launcher does not.
 */
export function launchFrom(env: Environment): Launch | null {
  for (const { rank, sizes, names } of launchers) {
    const number = natural(env[rank]);
    const size = sizes.map((name) => natural(env[name])).find((count) => count !== null) ?? null;
    const named = names.find((group) => group.every((name) => env[name]));
    if (number === null || (rank === "RANK" && size === null)) continue;
    if (rank === "SLURM_PROCID" && named === undefined) continue;
    const name = env.TRAINLOCK_LAUNCH ?? named?.map((variable) => env[variable]).join(":") ?? ourParent();
    const job = schedulerJob(env);
    const jobName = job === null ? [] : [job.kind, job.jobId, job.arrayIndex ?? "", String(job.restartCount)];
    return { rank: number, size, key: fileName([...jobName, rank, name].join(".")) };
  }
  return null;
}

function natural(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/** The launcher's own process: the same for all ranks on this host. */
function ourParent(): string {
  return `${thisHost().bootId}.${process.ppid}.${readStatLine(process.ppid)?.startTimeTicks ?? 0}`;
}

function fileName(text: string): string {
  return text.replace(/[^A-Za-z0-9.-]/g, "_").slice(0, 120);
}
