import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { schedulerProbes } from "../../src/evidence/schedulers/choose.ts";
import { askElements } from "../../src/evidence/schedulers/elements.ts";
import { jobEvidence, type RecordedJob } from "../../src/evidence/schedulers/job-evidence.ts";
import type { ListedJob, SchedulerKind } from "../../src/evidence/schedulers/listed-job.ts";
import { parseBjobsDelimited, parseBjobsJson } from "../../src/evidence/schedulers/lsf.ts";
import { parseQstatJson } from "../../src/evidence/schedulers/pbs.ts";
import { parseQstatXml } from "../../src/evidence/schedulers/sge.ts";
import { parseSacct, parseSqueue, slurmMeaning } from "../../src/evidence/schedulers/slurm.ts";
import { doubtEnd, parseSinfo } from "../../src/evidence/schedulers/slurm-nodes.ts";
import { isoSeconds, monthDaySeconds } from "../../src/evidence/schedulers/times.ts";
import { expandNodes } from "../../src/system/processes/slurm-node-list.ts";
import { hostName } from "../support/host-name.ts";
import { listedJob, recordedJob } from "./answers.ts";

const transcript = (name: string) => readFileSync(new URL(`../fixtures/schedulers/${name}`, import.meta.url), "utf8");
/** The day after all of them, so that months without a year are of that year. */
const now = new Date("2026-01-13T12:00:00");
const lockedAt = isoSeconds("2026-01-12T16:49:29.536651");

const lists: Readonly<Record<string, { kind: SchedulerKind; jobs: readonly ListedJob[] }>> = {
  squeue: { kind: "slurm", jobs: parseSqueue(transcript("squeue.txt")) },
  sacct: { kind: "slurm", jobs: parseSacct(transcript("sacct.txt")) },
  "bjobs -json": { kind: "lsf", jobs: parseBjobsJson(transcript("bjobs.json"), now) ?? [] },
  "bjobs delimited": { kind: "lsf", jobs: parseBjobsDelimited(transcript("bjobs.txt"), now) },
  "qstat of PBS": { kind: "pbs", jobs: parseQstatJson(transcript("qstat-pbs.json")) ?? [] },
  "qstat of Grid Engine": { kind: "sge", jobs: parseQstatXml(transcript("qstat-sge.xml")) ?? [] },
};

type Asked = { id: string; arrayIndex?: string; restartCount?: number; lockedAt?: number | null };
function verdict(list: string, { id, arrayIndex = "", restartCount = 0, lockedAt: at = lockedAt }: Asked) {
  const { kind, jobs } = lists[list] ?? { kind: "lsf" as const, jobs: [] };
  const job = recordedJob({ id, arrayIndex: arrayIndex === "" ? null : arrayIndex, restartCount, lockedAt: at });
  return jobEvidence(schedulerProbes[kind], job, jobs)[0]?.says;
}

type Case = readonly [list: string, job: Asked, says: "alive" | "dead" | "unknown", why: string];

describe("a job that took a lock", () => {
  test.each<Case>([
    ["squeue", { id: "101" }, "alive", "runs"],
    ["squeue", { id: "102" }, "alive", "is suspended"],
    ["squeue", { id: "103" }, "unknown", "was requeued and waits"],
    ["squeue", { id: "104" }, "unknown", "lost its node"],
    ["squeue", { id: "105" }, "unknown", "is completing"],
    ["squeue", { id: "106" }, "dead", "was cancelled"],
    ["squeue", { id: "107" }, "unknown", "runs again, told by its restart count"],
    ["squeue", { id: "107", restartCount: 1 }, "unknown", "started after the lock was taken"],
    ["squeue", { id: "108" }, "unknown", "had ended before the lock was taken"],
    ["squeue", { id: "999" }, "unknown", "is not known"],
    ["sacct", { id: "107" }, "dead", "was requeued: that run ended"],
    ["sacct", { id: "109" }, "dead", "was cancelled by a user"],
    ["sacct", { id: "110" }, "unknown", "lost its node"],
    ["bjobs -json", { id: "123456" }, "alive", "runs"],
    ["bjobs -json", { id: "123457", arrayIndex: "4" }, "alive", "is suspended"],
    ["bjobs -json", { id: "123457", arrayIndex: "5" }, "unknown", "is another element of the array"],
    ["bjobs -json", { id: "123458" }, "unknown", "was requeued and waits"],
    ["bjobs -json", { id: "123459" }, "unknown", "is UNKWN"],
    ["bjobs -json", { id: "123460" }, "unknown", "is ZOMBI"],
    ["bjobs -json", { id: "123461" }, "dead", "was killed"],
    ["bjobs -json", { id: "123462" }, "unknown", "has a reused id"],
    ["qstat of PBS", { id: "101.pbs" }, "alive", "runs"],
    ["qstat of PBS", { id: "101" }, "alive", "runs, named without its server"],
    ["qstat of PBS", { id: "102[4].pbs", arrayIndex: "4" }, "alive", "is suspended"],
    ["qstat of PBS", { id: "102[5].pbs", arrayIndex: "5" }, "unknown", "is another element of the array"],
    ["qstat of PBS", { id: "101.other" }, "unknown", "is of another server"],
    ["qstat of PBS", { id: "103.pbs" }, "unknown", "is exiting"],
    ["qstat of PBS", { id: "104.pbs" }, "dead", "is finished"],
    ["qstat of PBS", { id: "105.pbs" }, "unknown", "was requeued and waits"],
    ["qstat of Grid Engine", { id: "4282", arrayIndex: "3" }, "alive", "runs"],
    ["qstat of Grid Engine", { id: "4283" }, "unknown", "is being deleted"],
    ["qstat of Grid Engine", { id: "4284" }, "unknown", "waits"],
    ["qstat of Grid Engine", { id: "4285" }, "unknown", "is in error"],
  ])("%s %o: %s, as it %s", (list, job, says) => {
    expect(verdict(list, job)).toBe(says);
  });
});

describe("a job of the same id and user", () => {
  const began = isoSeconds("2026-01-12T16:40:00") ?? 0;
  const listed = (change: Partial<ListedJob>) =>
    listedJob({ startedAt: began, cluster: "here", restartCount: null, ...change });
  const recorded = (change: Partial<RecordedJob>) =>
    recordedJob({ id: "7", user: "alice", host: "node01", lockedAt, cluster: "here", startedAt: began, ...change });
  const says = (job: RecordedJob, found: ListedJob) => jobEvidence(schedulerProbes.slurm, job, [found])[0]?.says;
  const over = { state: "COMPLETED", means: "ended" } as const;

  test.each<readonly [string, RecordedJob, Partial<ListedJob>, boolean]>([
    ["of the same cluster, host and start", recorded({}), {}, true],
    ["whose start is told to the minute", recorded({}), { startedAt: began - 59 }, true],
    ["of another cluster", recorded({ cluster: "there" }), {}, false],
    ["of a later start", recorded({ startedAt: began - 3600 }), {}, false],
    ["of an earlier start", recorded({ startedAt: began + 400 }), {}, false],
    ["of another user", recorded({ user: "bob" }), {}, false],
    ["on another host", recorded({ host: "node02" }), {}, false],
    ["whose cluster the record does not name", recorded({ cluster: null }), {}, true],
    ["whose start the record does not name", recorded({ startedAt: null }), {}, true],
    ["whose start the scheduler does not name", recorded({}), { startedAt: null }, true],
  ])("%s", (_, job, change, isSame) => {
    expect(says(job, listed(change))).toBe(isSame ? "alive" : "unknown");
    expect(says(job, listed({ ...change, ...over }))).toBe(isSame ? "dead" : "unknown");
  });

  test("that was cancelled before it began took no lock: the id is another job's, too", () => {
    const never = { startedAt: null, hosts: [] };
    expect(says(recorded({}), listed({ ...never, ...over }))).toBe("unknown");
    expect(says(recorded({}), listed({ ...never, ...over, hosts: [hostName("node01")] }))).toBe("dead");
    expect(says(recorded({}), listed({ ...never, ...over, startedAt: began }))).toBe("dead");
    expect(says(recorded({}), listed(never))).toBe("alive");
  });

  test("that another cluster of a federation has started has not ended", () => {
    expect(says(recorded({}), listed({ state: "REVOKED", means: slurmMeaning("REVOKED") }))).toBe("unknown");
  });

  test("squeue and sacct name the cluster", () => {
    const line = "7|1000|alice|RUNNING|2026-01-12T16:30:00|2026-01-12T16:40:00|N/A|0|node01|node01|here|";
    expect(parseSqueue(line)[0]?.cluster).toBe("here");
    const done = "7|alice|COMPLETED|2026-01-12T16:30:00|2026-01-12T16:40:00|2026-01-12T17:00:00|node01|here";
    expect(parseSacct(done)[0]?.cluster).toBe("here");
  });
});

test("both formats of bjobs say the same", () => {
  expect(lists["bjobs delimited"]?.jobs).toEqual(lists["bjobs -json"]?.jobs);
});

test("hosts are names, once each, and nothing else", () => {
  const hosts = (list: string, id: string) => lists[list]?.jobs.find((job) => job.id === id)?.hosts;
  expect(hosts("squeue", "101")).toEqual(["node01", "node02", "node03"]);
  expect(hosts("squeue", "103")).toEqual([]);
  expect(hosts("bjobs -json", "123456")).toEqual(["makalu94", "makalu95"]);
  expect(hosts("bjobs -json", "123457")).toEqual(["makalu94"]);
  expect(hosts("bjobs -json", "123462")).toEqual([]);
  expect(hosts("qstat of PBS", "101.pbs")).toEqual(["charon24", "charon21"]);
  expect(hosts("qstat of Grid Engine", "4282")).toEqual(["node01.cluster.example"]);
});

test("node lists are expanded, within bounds", () => {
  expect(expandNodes("login,node[08-10,12],r[1-2]c")).toEqual("login node08 node09 node10 node12 r1c r2c".split(" "));
  expect(expandNodes("node[1-99999999]")).toEqual([]);
  expect(expandNodes("")).toEqual([]);
});

test("nodes that Slurm has given up, and when", () => {
  expect(parseSinfo("node02|2026-01-12T17:00:00\nnode03|Unknown\n-o|x\n")).toEqual([
    { host: "node02", since: isoSeconds("2026-01-12T17:00:00") },
    { host: "node03", since: null },
  ]);
});

test("a job that ended about when its node was lost may live on there", () => {
  const cancelled = lists.squeue?.jobs.find(({ id }) => id === "106");
  if (cancelled === undefined) throw new Error("no job 106");
  const lost = (host: string, time: string) =>
    doubtEnd(cancelled, [{ host: hostName(host), since: isoSeconds(time) }]).means;
  expect(lost("node03", "2026-01-12T16:59:00")).toBe("unclear");
  expect(lost("node03", "2026-01-12T17:05:00")).toBe("unclear");
  expect(lost("node03", "2026-01-12T18:00:00")).toBe("ended");
  expect(lost("node03", "2026-01-11T18:00:00")).toBe("unclear");
  expect(lost("node04", "2026-01-12T17:05:00")).toBe("ended");
  expect(doubtEnd(cancelled, null).means).toBe("ended");
});

test("what is no list of jobs is none", () => {
  for (const text of ["", "null", "[]", "{", "Cannot connect to LSF. Please wait ...", '{"RECORDS":{}}']) {
    expect(parseBjobsJson(text)).toBeNull();
    expect(parseQstatJson(text)).toBeNull();
    expect(parseQstatXml(text)).toBeNull();
    expect(parseSqueue(text)).toEqual([]);
    expect(parseSacct(text)).toEqual([]);
    expect(parseBjobsDelimited(text)).toEqual([]);
  }
  expect(parseBjobsJson('{"RECORDS":[null,7,{"JOBID":[]},{"JOBID":"1;rm -rf /","STAT":"RUN"}]}')).toEqual([]);
  expect(parseQstatJson('{"pbs_version":"1","Jobs":{"1":null,"2":{"job_state":7}}}')).toEqual([]);
});

describe("a command that ends with 0 and lists no jobs", () => {
  const answers = (of: Readonly<Record<string, Partial<{ stdout: string; stderr: string; exitCode: number }>>>) => ({
    jobs: [],
    allRunning: true,
    run: async ([command]: readonly [string, ...string[]]) =>
      ({ kind: "ended", exitCode: 0, stdout: "", stderr: "", ...of[command] }) as const,
  });
  const job = "7|1000|alice|RUNNING|2026-01-12T16:30:00|2026-01-12T16:40:00|N/A|0|node01|node01|here|\n";
  const notice = "The cluster is down for maintenance\n";

  test.each([
    ["a notice", { stdout: notice }, "squeue did not list jobs"],
    ["a complaint", { stderr: "slurm_load_jobs error\nx" }, "squeue did not list jobs: slurm_load_jobs error"],
    ["another view of them", { stdout: "7 gpu RUNNING\n" }, "squeue did not list jobs"],
  ])("gives no answer by %s", async (_, squeue, why) => {
    expect(await schedulerProbes.slurm.ask(answers({ squeue }))).toEqual({ kind: "no answer", why });
    const old = { bjobs: { stdout: notice } };
    const usage = { kind: "ended", exitCode: 1, stdout: "", stderr: "bjobs: illegal option -- json" } as const;
    const { run, ...rest } = answers(old);
    const asLsf9 = {
      ...rest,
      run: async (argv: readonly [string, ...string[]]) => (argv.includes("-json") ? usage : run(argv)),
    };
    expect(await schedulerProbes.lsf.ask(asLsf9)).toMatchObject({ kind: "no answer" });
    expect(await askElements("slurm", answers({ squeue }).run)).toEqual({ kind: "no answer", why });
  });

  test("has answered if it says nothing, or jobs among other things", async () => {
    expect(await schedulerProbes.slurm.ask(answers({}))).toMatchObject({ kind: "jobs", jobs: [], lostHosts: [] });
    const among = answers({ squeue: { stdout: notice + job, stderr: notice } });
    expect(await schedulerProbes.slurm.ask(among)).toMatchObject({ kind: "jobs", jobs: [{ id: "7" }] });
    expect(await askElements("slurm", answers({}).run)).toEqual({ kind: "elements", elements: [] });
  });

  test("does not say which nodes are lost by something else than nodes", async () => {
    const lost = (stdout: string) => schedulerProbes.slurm.ask(answers({ squeue: { stdout: job }, sinfo: { stdout } }));
    expect(await lost(notice)).toMatchObject({ lostHosts: null });
    expect(await lost("")).toMatchObject({ lostHosts: [] });
    expect(await lost("node02|Unknown\n")).toMatchObject({ lostHosts: [{ host: "node02", since: null }] });
  });
});

test("a time without a year is the last such time", () => {
  const seconds = (text: string) => new Date(text).getTime() / 1000;
  expect(monthDaySeconds("Dec 28 19:56 L", now)).toBe(seconds("2025-12-28T19:56:00"));
  expect(monthDaySeconds("Jan 12 16:48", now)).toBe(seconds("2026-01-12T16:48:00"));
  expect(monthDaySeconds("Mon Jan 12 16:48:01 2026", now)).toBe(seconds("2026-01-12T16:48:01"));
  expect(monthDaySeconds("-", now)).toBeNull();
});
