import { isHostName } from "../../model/host-name.ts";
import { expandNodes } from "../../system/processes/slurm-node-list.ts";
import {
  countOf,
  type JobMeaning,
  type ListedJob,
  noAnswer,
  noList,
  type SchedulerProbe,
  type SchedulerQuestion,
} from "./listed-job.ts";
import { doubtEnd, lostNodes, nodeBoots } from "./slurm-nodes.ts";
import { isoSeconds } from "./times.ts";

/** Columns of squeue(1) and sacct(1), in this order; `:|` ends each with a bar and no padding. */
const squeueFields =
  "JobID UserID UserName State SubmitTime StartTime EndTime RestartCnt BatchHost NodeList Cluster".split(" ");
const sacctFields = "JobIDRaw User State Submit Start End NodeList Cluster";

/**
 * Job states of squeue(1). Not among the ended: NODE_FAIL and BOOT_FAIL, as a lost node may still run what it ran; REVOKED, as
 * another cluster of the federation has started that job.
 */
const alive = new Set(
  "RUNNING SUSPENDED STOPPED CONFIGURING RESIZING SIGNALING STAGE_OUT PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD".split(
    " ",
  ),
);
const waiting = new Set("CONFIGURING PENDING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD".split(" "));
const ended = new Set("COMPLETED CANCELLED FAILED TIMEOUT DEADLINE OUT_OF_MEMORY PREEMPTED".split(" "));

/** One squeue for all jobs of the cluster, those that ended in the last minutes (MinJobAge) included; sacct for the rest. */
export const slurm: SchedulerProbe = {
  kind: "slurm",
  title: "Slurm",
  command: "squeue",
  ask: async (question) => {
    const format = squeueFields.map((field) => `${field}:|`).join(",");
    const answer = await question.run([
      "squeue",
      "--noheader",
      "--all",
      "--array",
      "--states=all",
      `--Format=${format}`,
    ]);
    if (answer.kind !== "ended" || answer.exitCode !== 0) return noAnswer("squeue", answer);
    const listed = parseSqueue(answer.stdout);
    const none = noList("squeue", answer, listed);
    if (none !== null) return none;
    const more = await accounted(question, listed);
    const wanted = new Set(question.jobs.map(({ id }) => id));
    const jobs = [...listed, ...more];
    const anyOver = jobs.some(({ id, means }) => means !== "alive" && wanted.has(id));
    const anyRequeued = listed.some(({ id, restartCount }) => (restartCount ?? 0) > 0 && wanted.has(id));
    const lostHosts = question.allRunning || anyOver || anyRequeued ? await lostNodes(question.run) : [];
    const boots = anyRequeued ? await nodeBoots(question.run) : new Map<string, number>();
    const own = process.getuid?.() ?? 0;
    // If another user's job is listed, jobs are not hidden. Else the settings are asked.
    const alone = question.allRunning && own !== 0 && listed.every(({ uid }) => uid === own);
    const hides = alone ? await hidesOthers(question.run) : null;
    const shown = jobs.map((job) => doubtEnd(job, lostHosts));
    return { kind: "jobs", jobs: shown, lostHosts, boots, ...(hides === null ? {} : { hidesOthers: hides }) };
  },
};

/** PrivateData of slurm.conf(5): with `jobs` in it, users see their own alone. Null: it cannot be known. */
async function hidesOthers(run: SchedulerQuestion["run"]): Promise<boolean | null> {
  const answer = await run(["scontrol", "show", "config"]);
  if (answer.kind !== "ended" || answer.exitCode !== 0) return null;
  const value = /^PrivateData\s*=\s*(\S+)/m.exec(answer.stdout)?.[1];
  return value === undefined ? null : value.split(",").includes("jobs");
}

/** What the accounting says of jobs that squeue has forgotten. It may be down, or not be kept: then nobody knows. */
async function accounted(
  { jobs, run }: SchedulerQuestion,
  listed: readonly ListedJob[],
): Promise<readonly ListedJob[]> {
  // A job that runs again is listed once; how its earlier run ended is in the accounting only.
  const known = new Set(listed.filter(({ restartCount }) => restartCount === 0).map(({ id }) => id));
  const forgotten = jobs.filter(({ id }) => /^\d+$/.test(id) && !known.has(id));
  if (forgotten.length === 0) return [];
  const oldest = Math.min(...forgotten.map(({ lockedAt }) => lockedAt ?? 0));
  // Without a start, sacct looks back to midnight only.
  const since = oldest > 0 ? `--starttime=${sacctTime(oldest - 86_400)}` : "--starttime=1970-01-02";
  const ids = `--jobs=${forgotten.map(({ id }) => id).join(",")}`;
  const answer = await run([
    "sacct",
    "--noheader",
    "--parsable2",
    "--allusers",
    "--allocations",
    "--duplicates",
    ids,
    since,
    `--format=${sacctFields.replaceAll(" ", ",")}`,
  ]);
  return answer.kind === "ended" && answer.exitCode === 0 ? parseSacct(answer.stdout) : [];
}

function sacctTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 10);
}

/** Pure: the lines of squeue in the columns above. Lines that are none of these are left out. */
export function parseSqueue(text: string): ListedJob[] {
  return text.split("\n").flatMap((line) => {
    const [id, uid, user, state, submit, start, end, restarts, batchHost, nodes, cluster] = line
      .split("|")
      .map((s) => s.trim());
    if (id === undefined || !/^\d+$/.test(id) || state === undefined || nodes === undefined) return [];
    const hosts = [...(batchHost === undefined ? [] : [batchHost]), ...expandNodes(nodes)].filter(isHostName);
    return [
      {
        ...jobOf(id, state, user, submit, start, end),
        uid: countOf(uid),
        restartCount: countOf(restarts),
        hosts: [...new Set(hosts)].filter((host) => host !== "n/a"),
        ...ofCluster(cluster),
      },
    ];
  });
}

/** Pure: the lines of sacct in the columns above; several for a job that was requeued. */
export function parseSacct(text: string): ListedJob[] {
  return text.split("\n").flatMap((line) => {
    const [id, user, state, submit, start, end, nodes, cluster] = line.split("|");
    if (id === undefined || !/^\d+$/.test(id) || state === undefined || nodes === undefined) return [];
    // `CANCELLED by 1000`
    const word = state.split(" ")[0] ?? state;
    const job = jobOf(id, word, user, submit, start, end);
    // The accounting hears late: what it takes for running or waiting may have ended, and a requeued run has ended.
    const means: JobMeaning = word === "REQUEUED" || ended.has(word) ? "ended" : "unclear";
    const hosts = expandNodes(nodes).filter(isHostName);
    return [{ ...job, means, waits: false, uid: null, restartCount: null, hosts, ...ofCluster(cluster) }];
  });
}

function ofCluster(name: string | undefined): { cluster?: string } {
  return name !== undefined && /^[\w.-]+$/.test(name) ? { cluster: name } : {};
}

/** What a job state of squeue(1) means for a job's processes. */
export function slurmMeaning(state: string): JobMeaning {
  const word = state.toUpperCase();
  return alive.has(word) ? "alive" : ended.has(word) ? "ended" : "unclear";
}

function jobOf(id: string, state: string, user?: string, submit?: string, start?: string, end?: string) {
  const word = state.toUpperCase();
  return {
    id,
    arrayIndex: null,
    state: word,
    means: slurmMeaning(word),
    waits: waiting.has(word),
    user: user === undefined || user === "" ? null : user,
    submittedAt: isoSeconds(submit),
    startedAt: isoSeconds(start),
    endedAt: isoSeconds(end),
  };
}
