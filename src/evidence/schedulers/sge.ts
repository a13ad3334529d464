import { isHostName } from "../../model/host-name.ts";
import { type JobMeaning, type ListedJob, noAnswer, type SchedulerProbe } from "./listed-job.ts";
import { isoSeconds } from "./times.ts";

/**
 * One qstat for everybody's jobs. Grid Engine forgets a job when it ends, so it can only prove that a job lives. Its
 * accounting is one file, and qacct needs minutes to read it.
 */
export const sge: SchedulerProbe = {
  kind: "sge",
  title: "Grid Engine",
  command: "qstat",
  ask: async ({ run }) => {
    const answer = await run(["qstat", "-u", "*", "-g", "d", "-xml"]);
    if (answer.kind !== "ended" || answer.exitCode !== 0) return noAnswer("qstat", answer);
    const jobs = parseQstatXml(answer.stdout);
    return jobs === null ? { kind: "no answer", why: "qstat did not answer in XML" } : { kind: "jobs", jobs };
  },
};

/** Pure: the document of `qstat -xml`; null when it is none. Its elements neither nest nor carry attributes that matter. */
export function parseQstatXml(text: string): ListedJob[] | null {
  if (!/<job_info[\s>]/.test(text) || !text.includes("</job_info>")) return null;
  return [...text.matchAll(/<job_list[^>]*>(.*?)<\/job_list>/gs)].flatMap(([, body = ""]) => jobOf(body));
}

function jobOf(body: string): ListedJob[] {
  const value = (name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(body)?.[1]?.trim() || null;
  const id = value("JB_job_number");
  const state = value("state");
  if (id === null || !/^\d+$/.test(id) || state === null) return [];
  const host = value("queue_name")?.split("@")[1] ?? "";
  const task = value("tasks");
  return [
    {
      id,
      arrayIndex: task !== null && /^\d+$/.test(task) ? task : null,
      state,
      means: meaningOf(state),
      waits: !/[rstST]/.test(state),
      uid: null,
      user: value("JB_owner"),
      hosts: isHostName(host) ? [host] : [],
      submittedAt: isoSeconds(value("JB_submission_time")),
      startedAt: isoSeconds(value("JAT_start_time")),
      endedAt: null,
      restartCount: null,
    },
  ];
}

/** Letters of qstat(1): d is being deleted (also while its host is out of reach), E an error, the rest live or wait. */
function meaningOf(state: string): JobMeaning {
  if (/[dE]/.test(state)) return "unclear";
  return /^[rRsStTNPqwh]+$/.test(state) ? "alive" : "unclear";
}
