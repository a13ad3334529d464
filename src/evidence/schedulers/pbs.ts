import { type HostName, isHostName } from "../../model/host-name.ts";
import { type JobMeaning, type ListedJob, noAnswer, type SchedulerProbe } from "./listed-job.ts";
import { monthDaySeconds } from "./times.ts";

/** Job states of qstat(1B) of PBS Professional and OpenPBS. E is exiting: its processes may still run. */
const alive = new Set("R S U B Q H W T".split(" "));
const waiting = new Set("Q H W T".split(" "));
const ended = new Set("F X".split(" "));

/** One qstat: of the jobs that are asked for, or of all where users' jobs are wanted; finished ones where a history is kept. */
export const pbs: SchedulerProbe = {
  kind: "pbs",
  title: "PBS",
  command: "qstat",
  ask: async ({ jobs, allRunning, run }) => {
    const named = allRunning ? [] : [...new Set(jobs.map(({ id }) => id))];
    const call = (history: readonly string[]) => run(["qstat", "-f", "-t", "-F", "json", ...history, ...named]);
    let answer = await call(["-x"]);
    // PBS without a history refuses the option; it still knows what runs.
    if (answer.kind === "ended" && /job_history|history/i.test(answer.stderr)) answer = await call([]);
    if (answer.kind !== "ended") return noAnswer("qstat", answer);
    const listed = parseQstatJson(answer.stdout);
    // Ids that it does not know make it fail, and it lists the others all the same.
    const unknownOnly = /Unknown Job/i.test(answer.stderr) && !/cannot connect/i.test(answer.stderr);
    if (listed === null || (answer.exitCode !== 0 && !unknownOnly)) return noAnswer("qstat", answer);
    return { kind: "jobs", jobs: listed };
  },
};

/** Pure: the document of `qstat -f -F json`; null when it is none, or broken, as unescaped variables of jobs make it. */
export function parseQstatJson(text: string): ListedJob[] | null {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof document !== "object" || document === null || !("pbs_version" in document)) return null;
  if (!("Jobs" in document)) return [];
  const { Jobs: jobs } = document;
  if (typeof jobs !== "object" || jobs === null) return null;
  return Object.entries(jobs).flatMap(([id, job]) => jobOf(id, job));
}

function jobOf(fullId: string, job: unknown): ListedJob[] {
  if (typeof job !== "object" || job === null) return [];
  const text = (key: string): string | null => {
    const value: unknown = Object.entries(job).find(([name]) => name === key)?.[1];
    return typeof value === "string" ? value : null;
  };
  const state = text("job_state");
  if (state === null) return [];
  const means: JobMeaning = alive.has(state) ? "alive" : ended.has(state) ? "ended" : "unclear";
  const [, index] = /^\d+\[(\d+)\]/.exec(fullId) ?? [];
  return [
    {
      id: fullId,
      arrayIndex: index ?? null,
      state,
      means,
      waits: waiting.has(state),
      uid: null,
      user: text("Job_Owner")?.split("@")[0] ?? null,
      hosts: hostsOf(text("exec_host") ?? ""),
      submittedAt: monthDaySeconds(text("qtime") ?? text("ctime")),
      startedAt: monthDaySeconds(text("stime")),
      endedAt: means === "ended" ? monthDaySeconds(text("obittime") ?? text("mtime")) : null,
      // Its environment does not tell a job its run count, so records have none to compare with.
      restartCount: null,
    },
  ];
}

/** `charon24/0*2+charon21/0*2`. */
function hostsOf(text: string): HostName[] {
  const names = text.split("+").map((part) => part.split("/")[0] ?? "");
  return [...new Set(names)].filter(isHostName);
}
