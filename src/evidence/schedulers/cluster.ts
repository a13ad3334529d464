import type { SchedulerKind, SchedulerQuestion } from "./listed-job.ts";

/** What a scheduler says of its cluster. */
export interface ClusterFacts {
  /** Null: it does not say. */
  readonly name: string | null;
  /** How many elements an array may have. */
  readonly mostElements: number;
  /** Whether users are shown each other's jobs; null: not known. */
  readonly showsOthers: boolean | null;
}

type Run = SchedulerQuestion["run"];

/** What the schedulers' own documents name as the limit of an array, where the site does not say. */
const usualMost: Readonly<Record<SchedulerKind, number>> = { slurm: 1000, lsf: 1000, pbs: 10_000, sge: 75_000 };

export async function askCluster(kind: SchedulerKind, run: Run): Promise<ClusterFacts> {
  const most = (text: string | undefined) =>
    text !== undefined && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : usualMost[kind];
  switch (kind) {
    case "slurm": {
      const config = await stdoutOf(run, ["scontrol", "show", "config"]);
      const setting = (name: string) => new RegExp(`^${name}\\s*= (.*)$`, "m").exec(config)?.[1]?.trim();
      const highest = setting("MaxArraySize");
      const hidden = setting("PrivateData");
      return {
        name: setting("ClusterName") ?? null,
        // An index must be lower than MaxArraySize, slurm.conf(5), and ours begin with 1.
        mostElements: highest === undefined ? usualMost.slurm : Math.max(1, most(highest) - 1),
        showsOthers: hidden === undefined ? null : !/\b(jobs|all)\b/.test(hidden),
      };
    }
    case "lsf": {
      const name = /^My cluster name is (\S+)$/m.exec(await stdoutOf(run, ["lsid"]))?.[1] ?? null;
      const limit = /^\s*MAX_JOB_ARRAY_SIZE\s*=\s*(\d+)/m.exec(await stdoutOf(run, ["bparams", "-a"]))?.[1];
      return { name, mostElements: most(limit), showsOthers: null };
    }
    case "pbs": {
      const server = await stdoutOf(run, ["qmgr", "-c", "list server"]);
      const name = /^Server (\S+)$/m.exec(server)?.[1] ?? null;
      const others = /^\s*query_other_jobs = (\S+)$/m.exec(server)?.[1];
      const limit = /^\s*max_array_size = (\d+)$/m.exec(server)?.[1];
      return { name, mostElements: most(limit), showsOthers: others === undefined ? null : others === "True" };
    }
    case "sge": {
      const limit = /^max_aj_tasks\s+(\d+)/m.exec(await stdoutOf(run, ["qconf", "-sconf"]))?.[1];
      const { SGE_CLUSTER_NAME: cluster, SGE_CELL: cell } = process.env;
      // 0 stands for no limit, sge_conf(5).
      return { name: cluster ?? cell ?? null, mostElements: most(limit), showsOthers: true };
    }
  }
}

async function stdoutOf(run: Run, argv: readonly [string, ...string[]]): Promise<string> {
  const answer = await run(argv);
  return answer.kind === "ended" && answer.exitCode === 0 ? answer.stdout : "";
}
