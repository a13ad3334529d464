import { schedulerProbes } from "./choose.ts";
import {
  countOf,
  type JobMeaning,
  noAnswer,
  noList,
  type SchedulerKind,
  type SchedulerQuestion,
} from "./listed-job.ts";
import { slurmMeaning } from "./slurm.ts";

/** One element of an array job as its scheduler lists it. */
export interface ListedElement {
  /** The number of the whole array. */
  readonly job: string;
  /** Null: it is no array. */
  readonly index: number | null;
  readonly means: JobMeaning;
  readonly user: string | null;
  /** How often it was requeued; null: the scheduler does not say. */
  readonly restarts: number | null;
}

export type ElementsAnswer =
  | { readonly kind: "elements"; readonly elements: readonly ListedElement[] }
  | { readonly kind: "no answer"; readonly why: string };

/** All elements of all jobs that a scheduler lists: one question. */
export async function askElements(kind: SchedulerKind, run: SchedulerQuestion["run"]): Promise<ElementsAnswer> {
  if (kind === "slurm") return askSlurm(run);
  const answer = await schedulerProbes[kind].ask({ jobs: [], allRunning: true, run });
  if (answer.kind === "no answer") return answer;
  const elements = answer.jobs.map((job): ListedElement => {
    const index = job.arrayIndex ?? /^\d+\[(\d+)\]/.exec(job.id)?.[1] ?? null;
    return {
      job: arrayNumber(job.id),
      index: index === null ? null : Number(index),
      means: job.means,
      user: job.user,
      restarts: job.restartCount,
    };
  });
  return { kind: "elements", elements };
}

/** `123` of `123`, `123[].server`, `123[4]` and `123.1-9:1`. */
export function arrayNumber(job: string): string {
  return /^\d+/.exec(job)?.[0] ?? job;
}

const slurmFields = ["ArrayJobID", "ArrayTaskID", "State", "UserName", "RestartCnt"] as const;

async function askSlurm(run: SchedulerQuestion["run"]): Promise<ElementsAnswer> {
  const format = slurmFields.map((field) => `${field}:|`).join(",");
  const answer = await run(["squeue", "--noheader", "--all", "--array", "--states=all", `--Format=${format}`]);
  if (answer.kind === "ended" && answer.exitCode === 0) {
    const elements = parseSlurmElements(answer.stdout);
    return noList("squeue", answer, elements) ?? { kind: "elements", elements };
  }
  const none = noAnswer("squeue", answer);
  return none.kind === "no answer" ? none : { kind: "no answer", why: "squeue failed" };
}

/** Pure: the lines of squeue in the columns above. */
export function parseSlurmElements(text: string): ListedElement[] {
  return text.split("\n").flatMap((line) => {
    const [job = "", index = "", state = "", user = "", restarts] = line.split("|").map((value) => value.trim());
    if (!/^\d+$/.test(job) || state === "") return [];
    return [
      {
        job,
        index: countOf(index),
        means: slurmMeaning(state),
        user: user === "" ? null : user,
        restarts: countOf(restarts),
      },
    ];
  });
}
