import { basename, join } from "node:path";
import type { SchedulerKind } from "../evidence/schedulers/listed-job.ts";

/** One array job. */
export interface ArrayJob {
  /** Of the job, for people. */
  readonly name: string;
  readonly elements: number;
  /** How many of them may run at once; null: as many as can. */
  readonly mostRunning: number | null;
  /** The scheduler's options for its rows. */
  readonly options: readonly string[];
}

/** How an array is submitted to a scheduler. */
interface Dialect {
  /** What begins a line of the script that is for the scheduler. */
  readonly prefix: string;
  /** The command that reads the script from its input, and prints the job's id. */
  readonly command: readonly [string, ...string[]];
  head(job: ArrayJob, outputFolder: string): readonly string[];
  /** Lines that send the output to its file, where no option can. `folder` is quoted for bash. */
  redirect(folder: string): readonly string[];
  /** The array's number as the command prints it; null: it printed something else. */
  jobOf(stdout: string): string | null;
  /** Options that submit gives itself, by both their names. */
  readonly own: readonly string[];
  /** Options that make the scheduler run another program. */
  readonly runs: readonly string[];
}

export const dialects: Readonly<Record<SchedulerKind, Dialect>> = {
  /** sbatch(1). */
  slurm: {
    prefix: "#SBATCH",
    command: ["sbatch", "--parsable"],
    head: ({ name, elements, mostRunning }, folder) => [
      `--job-name=${name}`,
      `--array=1-${elements}${mostRunning === null ? "" : `%${mostRunning}`}`,
      `--output=${slurmPath(`${folder.replaceAll("%", "%%")}/%A_%a.out`)}`,
      "--open-mode=append",
    ],
    redirect: () => [],
    jobOf: (stdout) => /^(\d+)(?:;.*)?\s*$/.exec(stdout)?.[1] ?? null,
    own: ["--array", "-a", "--output", "-o", "--parsable", "--open-mode", "--chdir", "-D", "--export"],
    runs: ["--wrap", "--test-only", "--wait", "-W"],
  },
  /** bsub(1). */
  lsf: {
    prefix: "#BSUB",
    command: ["bsub"],
    head: ({ name, elements, mostRunning }, folder) => [
      `-J "${name}[1-${elements}]${mostRunning === null ? "" : `%${mostRunning}`}"`,
      `-o "${join(folder, "%J_%I.out")}"`,
    ],
    redirect: () => [],
    jobOf: (stdout) => /^Job <(\d+)>/m.exec(stdout)?.[1] ?? null,
    own: ["-J", "-o", "-oo", "-cwd", "-K", "-I", "-Ip", "-Is"],
    runs: ["-E", "-Ep", "-L", "-Zs"],
  },
  /** qsub(1B) of PBS Professional and OpenPBS: a range has two elements at least. */
  pbs: {
    prefix: "#PBS",
    command: ["qsub"],
    head: ({ name, elements, mostRunning }) => [
      `-N ${name}`,
      ...(elements === 1 ? [] : [`-J 1-${elements}${mostRunning === null ? "" : `%${mostRunning}`}`]),
      "-j oe",
      "-o /dev/null",
    ],
    redirect: (folder) => [
      // biome-ignore lint/suspicious/noTemplateCurlyInString: bash reads it
      "job=${PBS_JOBID%%[!0-9]*}",
      `exec >>${folder}/"\${job}_\${PBS_ARRAY_INDEX:-1}.out" 2>&1`,
    ],
    jobOf: (stdout) => /^(\d+(?:\[\])?(?:\.[A-Za-z0-9._-]+)?)\s*$/.exec(stdout)?.[1] ?? null,
    own: ["-J", "-o", "-j", "-e"],
    runs: ["-S", "-I", "-X"],
  },
  /** qsub(1) of Grid Engine. */
  sge: {
    prefix: "#$",
    command: ["qsub", "-terse"],
    head: ({ name, elements, mostRunning }) => [
      `-N ${name}`,
      `-t 1-${elements}`,
      ...(mostRunning === null ? [] : [`-tc ${mostRunning}`]),
      "-S /bin/bash",
      "-j y",
      "-o /dev/null",
    ],
    redirect: (folder) => [`exec >>${folder}/"\${JOB_ID}_\${SGE_TASK_ID}.out" 2>&1`],
    jobOf: (stdout) => /^(\d+)(?:\.\d+-\d+:\d+)?\s*$/.exec(stdout)?.[1] ?? null,
    own: ["-t", "-tc", "-o", "-e", "-j", "-terse", "-wd", "-cwd"],
    runs: ["-S", "-b", "-sync", "-shell"],
  },
};

/** `%` begins a pattern there, sbatch(1). A blank ends a word, and `#` the line, unless they are in quotes. */
function slurmPath(path: string): string {
  return /[\s\\'"#]/.test(path) ? `"${path.replaceAll(/["\\]/g, "\\$&")}"` : path;
}

/** A name that no scheduler takes for anything else: letters, digits and `_`, not too long for `squeue` and `bjobs`. */
export function arrayName(gridFile: string | null): string {
  const stem = basename(gridFile ?? "grid").replace(/\.[a-z]+$/i, "");
  return `tl_${stem.replaceAll(/[^A-Za-z0-9]+/g, "_").slice(0, 20) || "grid"}`;
}
