import { type HostName, isHostName } from "../../model/host-name.ts";
import { type JobMeaning, type ListedJob, noAnswer, noList, type SchedulerProbe } from "./listed-job.ts";
import { monthDaySeconds } from "./times.ts";

/** Fields of bjobs -o, in this order in the delimited output too. */
const fields = ["jobid", "jobindex", "stat", "user", "exec_host", "submit_time", "start_time", "finish_time"] as const;
type Row = Partial<Record<(typeof fields)[number], string>>;

/**
 * Job states of bjobs(1). UNKWN is a host out of reach, ZOMBI a job killed while its host was: neither is an end, its
 * processes may live.
 */
const alive = new Set("RUN PEND PSUSP USUSP SSUSP WAIT PROV FWD_PEND".split(" "));
const waiting = new Set("PEND PSUSP WAIT FWD_PEND".split(" "));
const ended = new Set(["DONE", "EXIT"]);

/** One bjobs for everybody's jobs, those of the last hour (CLEAN_PERIOD) included: JSON since 10.1.0.2, delimited before. */
export const lsf: SchedulerProbe = {
  kind: "lsf",
  title: "LSF",
  command: "bjobs",
  ask: async ({ run }) => {
    const list = fields.join(" ");
    const json = await run(["bjobs", "-u", "all", "-a", "-o", list, "-json"]);
    if (json.kind !== "ended") return noAnswer("bjobs", json);
    const jobs = parseBjobsJson(json.stdout);
    if (jobs !== null) return { kind: "jobs", jobs };
    if (saysNoJobs(json.stderr)) return { kind: "jobs", jobs: [] };
    // Only what does not know the option prints its usage; anything else is down, and asking twice helps nobody.
    if (!/usage|illegal option|-json|bad (option|argument)/i.test(json.stderr)) return noAnswer("bjobs", json);
    const plain = await run(["bjobs", "-u", "all", "-a", "-noheader", "-o", `${list} delimiter='|'`]);
    if (plain.kind !== "ended") return noAnswer("bjobs", plain);
    if (saysNoJobs(plain.stderr)) return { kind: "jobs", jobs: [] };
    if (plain.exitCode !== 0) return noAnswer("bjobs", plain);
    const listed = parseBjobsDelimited(plain.stdout);
    return noList("bjobs", plain, listed) ?? { kind: "jobs", jobs: listed };
  },
};

function saysNoJobs(stderr: string): boolean {
  return /^No (unfinished )?jobs? found/m.test(stderr);
}

/** Pure: the document of `bjobs -o … -json`; null when it is none. */
export function parseBjobsJson(text: string, now: Date = new Date()): ListedJob[] | null {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof document !== "object" || document === null || !("RECORDS" in document)) return null;
  if (!Array.isArray(document.RECORDS)) return null;
  return document.RECORDS.flatMap((record: unknown) => {
    if (typeof record !== "object" || record === null) return [];
    const texts = new Map(
      Object.entries(record).flatMap(([key, value]): [string, string][] =>
        typeof value === "string" || typeof value === "number" ? [[key.toLowerCase(), String(value)]] : [],
      ),
    );
    const row: Row = {};
    for (const field of fields) {
      const value = texts.get(field);
      if (value !== undefined) row[field] = value;
    }
    return jobOf(row, now);
  });
}

/** Pure: the lines of `bjobs -noheader -o "… delimiter='|'"`. */
export function parseBjobsDelimited(text: string, now: Date = new Date()): ListedJob[] {
  return text.split("\n").flatMap((line) => {
    const values = line.split("|");
    if (values.length !== fields.length) return [];
    return jobOf(Object.fromEntries(fields.map((field, i) => [field, values[i]?.trim() ?? ""])), now);
  });
}

function jobOf(row: Row, now: Date): ListedJob[] {
  // An array's element is `123[4]` in some versions, and 123 with its own column in others.
  const [, id, bracketed] = /^(\d+)(?:\[(\d+)\])?$/.exec(row.jobid ?? "") ?? [];
  const state = row.stat ?? "";
  if (id === undefined || state === "") return [];
  const index = bracketed ?? row.jobindex ?? "";
  const means: JobMeaning = alive.has(state) ? "alive" : ended.has(state) ? "ended" : "unclear";
  return [
    {
      id,
      arrayIndex: /^[1-9]\d*$/.test(index) ? index : null,
      state,
      means,
      waits: waiting.has(state),
      uid: null,
      user: row.user === undefined || row.user === "" || row.user === "-" ? null : row.user,
      hosts: hostsOf(row.exec_host ?? ""),
      submittedAt: monthDaySeconds(row.submit_time, now),
      startedAt: monthDaySeconds(row.start_time, now),
      // Of a job that runs it is the time at which its limit would end it.
      endedAt: means === "ended" ? monthDaySeconds(row.finish_time, now) : null,
      restartCount: null,
    },
  ];
}

/** `makalu94`, `8*makalu94` or `makalu94:8*makalu95`. */
function hostsOf(text: string): HostName[] {
  const names = text.split(":").map((part) => part.replace(/^\d+\*/, ""));
  return [...new Set(names)].filter(isHostName);
}
