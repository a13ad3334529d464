import type { SchedulerJob } from "../../model/owner-record.ts";
import { readStatLine } from "../../system/processes/proc-files.ts";
import { ancestorsOf } from "../../system/processes/process-tree.ts";
import { schedulerJob } from "../../system/processes/scheduler-job.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { sha256Hex } from "../../system/sha256.ts";

/** Several tasks that one launcher (srun, mpirun, torchrun) has started together. */
export interface Launch {
  readonly rank: number;
  /** How many there are; null when the launcher does not say. */
  readonly size: number | null;
  /** Which of torchrun's agents started this rank, as it says. */
  readonly nodeRank: string | null;
  /** The same for all ranks of one launch, in hex. Launches one after the other may share it. */
  readonly key: string;
  readonly proof: LaunchProof;
  /** The variables that are equal for all ranks of a launch, and the one that differs. */
  readonly variables: Environment;
  readonly rankVariable: string;
  /** Why the ranks of this launch cannot be told from those of another; null: they can. */
  readonly unclear: string | null;
}

/**
 * What shows that a rank belongs to the launch of a rank 0 with the same key. `name`: the key itself, which the launcher or the
 * scheduler has made. `same parent`: all ranks are on one host, and the key names their parent process. `older parent`: the
 * parent process was started before that rank 0 began; on the host of rank 0 it is the same one.
 */
export type LaunchProof = "name" | "same parent" | "older parent";

type Environment = Readonly<Record<string, string | undefined>>;

interface Launcher {
  readonly rank: string;
  readonly sizes: readonly string[];
  /** How many ranks of this launch this host has. */
  readonly localSizes: readonly string[];
  /** Variables that differ between the launches of one job. The first that is set is used. */
  readonly names: readonly string[];
}

/** PyTorch's variables name a rendezvous, and do not identify a launch. */
const plain: Launcher = { rank: "RANK", sizes: ["WORLD_SIZE"], localSizes: ["LOCAL_WORLD_SIZE"], names: [] };

/** The innermost first: mpirun within a job step sets its own variables and inherits srun's. */
const launchers: readonly Launcher[] = [
  plain,
  {
    rank: "OMPI_COMM_WORLD_RANK",
    sizes: ["OMPI_COMM_WORLD_SIZE"],
    localSizes: ["OMPI_COMM_WORLD_LOCAL_SIZE"],
    names: ["PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "OMPI_MCA_orte_hnp_uri"],
  },
  { rank: "PMIX_RANK", sizes: ["PMIX_SIZE", "SLURM_STEP_NUM_TASKS"], localSizes: [], names: ["PMIX_NAMESPACE"] },
  { rank: "SLURM_PROCID", sizes: ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"], localSizes: [], names: ["SLURM_STEP_ID"] },
  { rank: "PMI_RANK", sizes: ["PMI_SIZE"], localSizes: ["MPI_LOCALNRANKS"], names: ["PMI_JOBID"] },
];

/** The variables of torchrun's rendezvous. They are equal for all its workers. */
const meeting = ["TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT"] as const;

/**
 * The launch of this process, by its environment. Null outside of a launch. SLURM_PROCID without a step is not enough, because a
 * batch script has it as well. RANK alone is too common a name. TRAINLOCK_LAUNCH names a launch that its launcher does not name.
 */
export function launchFrom(env: Environment): Launch | null {
  for (const launcher of launchers) {
    const rank = natural(env[launcher.rank]);
    const size = firstNatural(env, launcher.sizes);
    if (rank === null || (launcher === plain && size === null)) continue;
    const name = launcher.names.map((variable) => env[variable]).find((value) => value) ?? null;
    if (launcher.rank === "SLURM_PROCID" && name === null) continue;
    const job = schedulerJob(env);
    const named = launcher === plain ? nameByMeeting(env, job, size) : nameByLauncher(env, launcher, name, job, size);
    const jobName = job === null ? [] : [job.kind, job.jobId, job.arrayIndex, job.restartCount];
    const parent = named.proof === "same parent" ? ourParent() : [];
    const shared = [launcher.sizes[0], ...launcher.localSizes, ...launcher.names, ...meeting];
    return {
      rank,
      size,
      nodeRank: env.GROUP_RANK ?? null,
      key: sha256Hex(JSON.stringify([jobName, launcher.rank, named.parts, parent])).slice(0, 16),
      proof: named.proof,
      variables: Object.fromEntries(shared.flatMap((variable) => (variable ? [[variable, env[variable]]] : []))),
      rankVariable: launcher.rank,
      unclear: named.unclear ?? null,
    };
  }
  return null;
}

interface Named {
  readonly parts: readonly (string | undefined)[];
  readonly proof: LaunchProof;
  readonly unclear?: string;
}

/** srun, mpirun and similar launchers name each launch. Without such a name, the job's id or the parent process is used. */
function nameByLauncher(
  env: Environment,
  { localSizes }: Launcher,
  name: string | null,
  job: SchedulerJob | null,
  size: number | null,
): Named {
  const given = givenName(env) ?? name;
  if (given !== null) return { parts: [given], proof: "name" };
  const local = firstNatural(env, localSizes);
  if (size === null || local === null || local >= size) return { parts: [], proof: "same parent" };
  if (job !== null) return { parts: [], proof: "name" };
  return { parts: [], proof: "name", unclear: "its launcher gives it no name, and its ranks are on several hosts" };
}

/**
 * The launch by torchrun's variables, which scripts set as well. The defaults (run id `none`, port 29500) are equal for every
 * launch on every host.
 */
function nameByMeeting(env: Environment, job: SchedulerJob | null, size: number | null): Named {
  const given = givenName(env);
  if (given !== null) return { parts: [given], proof: "name" };
  const parts = meeting.map((variable) => env[variable]);
  // A script has set RANK from SLURM_PROCID. Then the job step is the launch.
  if (job?.kind === "slurm" && env.SLURM_STEP_ID && natural(env.SLURM_STEP_NUM_TASKS) === size)
    return { parts: [...parts, env.SLURM_STEP_ID], proof: "name" };
  const { TORCHELASTIC_RUN_ID: runId, MASTER_ADDR: address } = env;
  const local = natural(env.LOCAL_WORLD_SIZE);
  const isLoopback = address !== undefined && loopback.test(address);
  const isOnOneHost = local === null ? isLoopback || (!address && job === null) : size !== null && local >= size;
  // An agent that starts its launch again is still the parent. The agents of several hosts count restarts independently.
  if (isOnOneHost) return { parts: [...parts, env.TORCHELASTIC_RESTART_COUNT], proof: "same parent" };
  const isNamed = runId !== undefined && runId !== "" && runId !== "none";
  if (!isNamed && isLoopback) return { parts, proof: "name", unclear: `MASTER_ADDR ${address} is every host's own` };
  if (job !== null) return { parts, proof: "name" };
  if (!isNamed && (runId !== undefined || !address) && local !== null)
    return { parts, proof: "name", unclear: "its run id is `none`, like that of every other launch" };
  return { parts, proof: "older parent" };
}

/** TRAINLOCK_LAUNCH. A value that `run` has set for the command of a rank is valid below that command only: jobs inherit it. */
function givenName({
  TRAINLOCK_LAUNCH: given,
  TRAINLOCK_TOKEN: token,
  TRAINLOCK_PID: wrapper,
}: Environment): string | null {
  if (!given) return null;
  return given !== token || ancestorsOf(process.pid).has(Number(wrapper)) ? given : null;
}

const loopback = /^(localhost(\..*)?|ip6-localhost|127(\.\d{1,3}){3}|(0{0,4}:){2,7}0{0,3}1|0\.0\.0\.0)$/i;

function firstNatural(env: Environment, names: readonly string[]): number | null {
  return names.map((name) => natural(env[name])).find((count) => count !== null) ?? null;
}

function natural(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/** The launcher's own process: the same for all ranks on this host. */
function ourParent(): readonly (string | number | null)[] {
  const { bootId, pidNamespace } = thisHost();
  return [bootId, pidNamespace, process.ppid, readStatLine(process.ppid)?.startTimeTicks ?? 0];
}
