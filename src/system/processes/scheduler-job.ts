import type { SchedulerJob } from "../../model/owner-record.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const jobIdShape = /^[A-Za-z0-9][A-Za-z0-9._[\]-]{0,127}$/;

/**
 * The job this process runs in, by the variables its scheduler sets: LSF (LSB_JOBID, LSB_JOBINDEX, LSB_REQUEUE_NUM),
 * Slurm (SLURM_JOB_ID, SLURM_ARRAY_TASK_ID, SLURM_RESTART_COUNT), PBS (PBS_JOBID), Grid Engine (JOB_ID, SGE_TASK_ID,
 * RESTARTED). Null outside a job.
 */
export function schedulerJob(env: Environment): SchedulerJob | null {
  const id = (value: string | undefined) => (value !== undefined && jobIdShape.test(value) ? value : undefined);
  const index = (value: string | undefined) => (value !== undefined && /^\d{1,9}$/.test(value) ? value : null);
  const count = (value: string | undefined) => Number(index(value) ?? 0);
  const lsf = id(env.LSB_JOBID);
  if (lsf !== undefined) {
    const arrayIndex = index(env.LSB_JOBINDEX);
    return {
      kind: "lsf",
      jobId: lsf,
      // LSF sets index 0 for what is no array.
      arrayIndex: arrayIndex === "0" ? null : arrayIndex,
      arrayJobId: null,
      restartCount: count(env.LSB_REQUEUE_NUM),
      submittedAt: null,
    };
  }
  const slurm = id(env.SLURM_JOB_ID);
  if (slurm !== undefined) {
    return {
      kind: "slurm",
      jobId: slurm,
      arrayIndex: index(env.SLURM_ARRAY_TASK_ID),
      arrayJobId: id(env.SLURM_ARRAY_JOB_ID) ?? null,
      restartCount: count(env.SLURM_RESTART_COUNT),
      submittedAt: null,
    };
  }
  const pbs = id(env.PBS_JOBID);
  if (pbs !== undefined) {
    return {
      kind: "pbs",
      jobId: pbs,
      arrayIndex: index(env.PBS_ARRAY_INDEX),
      arrayJobId: null,
      restartCount: 0,
      submittedAt: null,
    };
  }
  const sge = env.SGE_ROOT === undefined ? undefined : id(env.JOB_ID);
  if (sge !== undefined) {
    return {
      kind: "sge",
      jobId: sge,
      arrayIndex: index(env.SGE_TASK_ID),
      arrayJobId: null,
      restartCount: count(env.RESTARTED),
      submittedAt: null,
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
    theirs.restartCount < ours.restartCount
  );
}
