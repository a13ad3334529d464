import { EnvironmentError } from "../model/errors.ts";
import { runProgram } from "../system/processes/run-program.ts";
import { schedulerJob } from "../system/processes/scheduler-job.ts";

const askMs = 10_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** When the scheduler ends the job that this process runs in, milliseconds since the epoch; null: it sets no limit. */
export async function endOfJob(env: Environment = process.env): Promise<number | null> {
  const job = schedulerJob(env);
  if (job === null) {
    throw new EnvironmentError("--until job: this is no job of a scheduler", {
      code: "ERR_NO_JOB",
      hint: "give a duration, such as --until 23h",
    });
  }
  switch (job.kind) {
    case "slurm":
      return slurmEnd(env, job.jobId);
    case "lsf":
      return lsfEnd(job.arrayIndex === null ? job.jobId : `${job.jobId}[${job.arrayIndex}]`);
    case "pbs":
      return pbsEnd(job.jobId);
    case "sge":
      return sgeEnd(job.jobId);
  }
}

async function ask(...argv: [string, ...string[]]): Promise<string> {
  const answer = await runProgram({ argv, timeoutMs: askMs });
  if (answer.kind === "ended" && answer.exitCode === 0) return answer.stdout;
  const why = answer.kind === "ended" ? answer.stderr.trim().split("\n")[0] : answer.kind;
  throw new EnvironmentError(`--until job: ${argv[0]} does not say when the job ends: ${why}`, {
    code: "ERR_NO_ANSWER",
    hint: "give a duration, such as --until 23h",
  });
}

function unclear(command: string, text: string): EnvironmentError {
  return new EnvironmentError(`--until job: ${command} says ${JSON.stringify(text.trim().slice(0, 80))}`, {
    code: "ERR_NO_ANSWER",
    hint: "give a duration, such as --until 23h",
  });
}

/** SLURM_JOB_END_TIME is set by newer versions; `%e` of squeue(1) is the end that the limit leads to, in local time. */
async function slurmEnd(env: Environment, jobId: string): Promise<number | null> {
  const given = env.SLURM_JOB_END_TIME;
  if (given !== undefined && /^\d{9,11}$/.test(given)) return Number(given) * 1000;
  const text = (await ask("squeue", "-h", "-j", jobId, "-o", "%l|%e")).trim().split("\n")[0] ?? "";
  const [limit, end = ""] = text.split("|");
  if (limit === "UNLIMITED" || limit === "INVALID") return null;
  const at = Date.parse(end);
  if (Number.isNaN(at)) throw unclear("squeue", text);
  return at;
}

/** `time_left` is `23:12 L` for a run limit and ends with another letter for other limits; `-` where there is none. */
async function lsfEnd(job: string): Promise<number | null> {
  const text = (await ask("bjobs", "-noheader", "-o", "time_left", job)).trim();
  if (text === "-") return null;
  const [, hours, minutes] = /^(\d+):(\d+)/.exec(text) ?? [];
  if (hours === undefined || minutes === undefined) throw unclear("bjobs", text);
  return Date.now() + (Number(hours) * 60 + Number(minutes)) * 60_000;
}

async function pbsEnd(job: string): Promise<number | null> {
  const text = (await ask("qstat", "-f", job)).replaceAll(/\n[ \t]+/g, "");
  const limit = /^\s*Resource_List\.walltime = (\d+):(\d+):(\d+)$/m.exec(text);
  if (limit === null) return null;
  const used = /^\s*resources_used\.walltime = (\d+):(\d+):(\d+)$/m.exec(text);
  return Date.now() + secondsIn(limit) * 1000 - (used === null ? 0 : secondsIn(used) * 1000);
}

function secondsIn([, hours, minutes, seconds]: RegExpExecArray): number {
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
}

/** Grid Engine lists the limit that was asked for, and kills h_rt after the start: counted from now, at the job's start. */
async function sgeEnd(job: string): Promise<number | null> {
  const text = await ask("qstat", "-j", job);
  const seconds = /\bh_rt=(\d+)/.exec(text)?.[1];
  return seconds === undefined ? null : Date.now() + Number(seconds) * 1000;
}

/** From this on, a row with a checkpoint can make use of the time that is left. */
const leastUsefulMs = 10 * 60_000;

/** Whether a row may start `leftMs` before the end: by the time that its model usually takes, null where nobody knows. */
export function fitsInto(leftMs: number, usualSeconds: number | null, hasCheckpoint: boolean): boolean {
  if (leftMs <= 0) return false;
  if (usualSeconds === null || usualSeconds * 1000 <= leftMs) return true;
  return hasCheckpoint && leftMs >= leastUsefulMs;
}
