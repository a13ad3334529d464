import { type HostName, isHostName, sameHost } from "../../model/host-name.ts";
import type { SchedulerJob } from "../../model/owner-record.ts";
import { mostHosts } from "../../model/owner-record-fields.ts";
import { readProcText } from "./proc-files.ts";
import { ancestorsOf } from "./process-tree.ts";
import { expandNodes } from "./slurm-node-list.ts";
import { thisHost } from "./this-host.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const clusterShape = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const jobIdShape = /^[A-Za-z0-9][A-Za-z0-9._[\]-]{0,127}$/;

/**
 * The job this process runs in, by the variables its scheduler sets: LSF (LSB_JOBID, LSB_JOBINDEX, LSB_REQUEUE_NUM),
 * Slurm (SLURM_JOB_ID, SLURM_ARRAY_TASK_ID, SLURM_RESTART_COUNT, SLURM_CLUSTER_NAME, and from 23.02 SLURM_JOB_START_TIME), PBS
 * (PBS_JOBID), Grid Engine (JOB_ID, SGE_TASK_ID, RESTARTED, SGE_CLUSTER_NAME). Null outside a job.
 */
export function schedulerJob(env: Environment): SchedulerJob | null {
  const id = (value: string | undefined) => (value !== undefined && jobIdShape.test(value) ? value : undefined);
  const index = (value: string | undefined) => (value !== undefined && /^\d{1,9}$/.test(value) ? value : null);
  const cluster = (value: string | undefined) => (value !== undefined && clusterShape.test(value) ? value : null);
  const unsaid = {
    arrayJobId: null,
    cluster: null,
    startedAt: null,
    oneHostStep: null,
    otherHosts: null,
    submittedAt: null,
  };
  const count = (value: string | undefined) => Number(index(value) ?? 0);
  const lsf = id(env.LSB_JOBID);
  if (lsf !== undefined) {
    const arrayIndex = index(env.LSB_JOBINDEX);
    return {
      kind: "lsf",
      jobId: lsf,
      // LSF sets index 0 for what is no array.
      ...unsaid,
      arrayIndex: arrayIndex === "0" ? null : arrayIndex,
      restartCount: count(env.LSB_REQUEUE_NUM),
    };
  }
  const slurm = id(env.SLURM_JOB_ID);
  if (slurm !== undefined) {
    return {
      kind: "slurm",
      jobId: slurm,
      ...unsaid,
      arrayIndex: index(env.SLURM_ARRAY_TASK_ID),
      arrayJobId: id(env.SLURM_ARRAY_JOB_ID) ?? null,
      cluster: cluster(env.SLURM_CLUSTER_NAME),
      startedAt: secondsIn(env.SLURM_JOB_START_TIME),
      restartCount: count(env.SLURM_RESTART_COUNT),
    };
  }
  const pbs = id(env.PBS_JOBID);
  if (pbs !== undefined) {
    return {
      kind: "pbs",
      jobId: pbs,
      ...unsaid,
      arrayIndex: index(env.PBS_ARRAY_INDEX),
      restartCount: 0,
    };
  }
  const sge = env.SGE_ROOT === undefined ? undefined : id(env.JOB_ID);
  if (sge !== undefined) {
    return {
      kind: "sge",
      jobId: sge,
      ...unsaid,
      arrayIndex: index(env.SGE_TASK_ID),
      cluster: cluster(env.SGE_CLUSTER_NAME),
      restartCount: count(env.RESTARTED),
    };
  }
  return null;
}

/** The same job and array element, started fewer times. The same count is this very run, or a second wrapper within it. */
export function isEarlierRun(theirs: SchedulerJob | null, ours: SchedulerJob): boolean {
  return (
    theirs !== null &&
    theirs.kind === ours.kind &&
    theirs.jobId === ours.jobId &&
    theirs.arrayIndex === ours.arrayIndex &&
    mayBeEqual(theirs.cluster, ours.cluster) &&
    theirs.restartCount < ours.restartCount
  );
}

/** Whether two sides agree, as far as both say anything. */
export function mayBeEqual(a: string | null, b: string | null): boolean {
  return a === null || b === null || a === b;
}

function secondsIn(text: string | undefined): number | null {
  return text !== undefined && /^\d{9,11}$/.test(text) ? Number(text) : null;
}

/** The other hosts of a job of Slurm, by its environment; null: it has none, or they are too many to be asked. */
export function otherHostsOf(env: Environment): readonly HostName[] | null {
  const { SLURM_JOB_NODELIST: list = "", SLURMD_NODENAME: own } = env;
  // A node may have another name with Slurm than it has itself.
  const others = expandNodes(list).filter((name) => name !== own && !sameHost(name, thisHost().hostname));
  const hosts = others.filter(isHostName);
  return hosts.length > 0 && hosts.length <= mostHosts ? hosts : null;
}

/**
 * The step of Slurm that this process runs in, where that is on one host alone. Jobs that a step submits inherit its variables,
 * so that the daemon of the very step must be an ancestor; it shows the step's name.
 */
export function oneHostStep(env: Environment): string | null {
  const { SLURM_JOB_ID: job, SLURM_STEP_ID: step, SLURM_STEP_NUM_NODES: hosts } = env;
  if (job === undefined || step === undefined || !/^\d{1,10}$/.test(step) || hosts !== "1") return null;
  const daemon = `slurmstepd: [${job}.${step}]`;
  const isOfStep = (pid: number) => readProcText(`/proc/${pid}/cmdline`)?.replace(/[\0 ]+$/, "") === daemon;
  return [...ancestorsOf(process.pid)].some(isOfStep) ? step : null;
}
