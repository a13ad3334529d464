import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { judge } from "../../src/evidence/judge.ts";
import type { RecordedOwner } from "../../src/evidence/remote/owner.ts";
import { requeuedFrom, withoutIdleJob } from "../../src/evidence/remote/weigh.ts";
import { parseBoots } from "../../src/evidence/schedulers/slurm-nodes.ts";
import { isoSeconds } from "../../src/evidence/schedulers/times.ts";
import type { DoubtReason, Evidence } from "../../src/model/evidence.ts";
import type { SchedulerJob } from "../../src/model/owner-record.ts";
import { hostName } from "../support/host-name.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { listedJob, recordedJob } from "./answers.ts";

const dead: Evidence = { source: "ssh", says: "dead", because: "PID not running", detail: "no process" };
const alive: Evidence = { source: "slurm", says: "alive", detail: "it runs" };
const doubt = (because: DoubtReason): Evidence => ({ source: "slurm", says: "unknown", because, detail: "" });

describe("a doubt about what goes on, or will", () => {
  const strong: DoubtReason[] = [
    "job requeued",
    "host not reached",
    "still being written",
    "in use by PID 7",
    "link leads nowhere here",
  ];
  test.each(strong)("%s outweighs any end, and no life", (because) => {
    expect(judge([dead, doubt(because)]).label).toBe(`UNKNOWN - ${because}`);
    expect(judge([doubt(because), dead, alive]).label).toBe("ACTIVE");
  });
  test.each<DoubtReason>(["remote process", "other container", "being created"])("%s does not", (because) => {
    expect(judge([doubt(because), dead]).status).toBe("stale");
  });
});

const recordedAt = 1_768_232_969;
const run = (restartCount: number): SchedulerJob => ({
  kind: "slurm",
  jobId: "7",
  arrayIndex: null,
  arrayJobId: null,
  cluster: null,
  startedAt: null,
  oneHostStep: null,
  otherHosts: null,
  restartCount,
  submittedAt: null,
});
const job = recordedJob({ id: "7", lockedAt: recordedAt, user: "alice", host: "node01" });
const listed = (hosts: string[]) => listedJob({ hosts: hosts.map(hostName) });

describe("a requeued job whose last host does not answer", () => {
  const owner = (weightsDir: string | null) =>
    ({ host: "node01", section: { scheduler: run(0) }, weightsDir }) as unknown as RecordedOwner;
  const down = { kind: "jobs", jobs: [], lostHosts: [{ host: hostName("node01"), since: null }] } as const;
  const booted = (at: number) => ({ kind: "jobs", jobs: [], lostHosts: [], boots: new Map([["node01", at]]) }) as const;
  const says = (ours: SchedulerJob | null, answer: Parameters<typeof requeuedFrom>[3]) =>
    requeuedFrom(owner(null), job, ours, answer)?.says ?? null;

  test("takes over what is on a node that is down, or has booted since", () => {
    expect(says(run(1), down)).toBe("dead");
    expect(says(run(1), booted(recordedAt + 3600))).toBe("dead");
  });
  test("nothing else", () => {
    expect(says(run(1), booted(recordedAt - 3600))).toBeNull();
    expect(says(run(1), { ...down, lostHosts: [{ host: hostName("node02"), since: null }] })).toBeNull();
    expect(says(run(1), { kind: "jobs", jobs: [] })).toBeNull();
    expect(says(run(0), down)).toBeNull();
    expect(says({ ...run(1), jobId: "8" }, down)).toBeNull();
    expect(says(null, down)).toBeNull();
    expect(says(run(1), { kind: "jobs", jobs: [], boots: new Map([["node02", recordedAt + 3600]]) })).toBeNull();
    // Nobody knows whether the lock was taken before that boot.
    expect(requeuedFrom(owner(null), { ...job, lockedAt: null }, run(1), booted(recordedAt + 3600))).toBeNull();
  });
  test("knows it by its own last run alone, and says which", () => {
    const unsaid = { ...owner(null), section: { scheduler: null } } as unknown as RecordedOwner;
    expect(requeuedFrom(unsaid, job, run(1), down)).toBeNull();
    expect(requeuedFrom(owner(null), job, run(1), down)?.detail).toBe(
      "left by run 0 of this job on node01, which is down",
    );
    expect(requeuedFrom(owner(null), job, run(1), booted(recordedAt + 3600))?.detail).toMatch(/has booted since$/);
  });
  test("waits while somebody writes there", async () => {
    const folder = await temporaryRoot();
    const file = join(folder, "iter_1.pth");
    writeFileSync(file, "");
    expect(requeuedFrom(owner(folder), job, run(1), down)?.says).toBe("unknown");
    utimesSync(file, Date.now() / 1000 - 300, Date.now() / 1000 - 300);
    expect(requeuedFrom(owner(folder), job, run(1), down)?.says).toBe("dead");
  });
});

describe("a job that runs on without its training", () => {
  const answer = (hosts: string[]) => ({ kind: "jobs", jobs: [listed(hosts)] }) as const;
  test("is no sign of life where its only host has nothing of it", () => {
    expect(withoutIdleJob(job, answer(["node01"]), [alive], dead).map(({ says }) => says)).toEqual(["unknown"]);
  });
  test("is none where none of its hosts has anything of it", () => {
    const says = (...clear: string[]) =>
      withoutIdleJob(job, answer(["node01", "node02", "node03"]), [alive], dead, clear)[0]?.says;
    expect([says("node02", "node03"), says("node02"), says()]).toEqual(["unknown", "alive", "alive"]);
  });
  test("is none where it has other hosts, and the training was a step of one", () => {
    const ofStep = { ...job, isOfOneHost: true };
    expect(withoutIdleJob(ofStep, answer(["node01", "node02"]), [alive], dead)).toMatchObject([{ says: "unknown" }]);
  });
  test("is one where it has other hosts, too, or where its host says nothing", () => {
    expect(withoutIdleJob(job, answer(["node01", "node02"]), [alive], dead)).toEqual([alive]);
    expect(withoutIdleJob(job, answer(["node02"]), [alive], dead)).toEqual([alive]);
    // Where it runs is not said: somewhere.
    expect(withoutIdleJob(job, answer([]), [alive], dead)).toEqual([alive]);
    expect(withoutIdleJob({ ...job, host: null }, answer(["node01"]), [alive], dead)).toEqual([alive]);
    const ofStep = { ...job, isOfOneHost: true };
    expect(withoutIdleJob(ofStep, answer(["node01", "node02"]), [alive], doubt("remote process"))).toEqual([alive]);
    expect(withoutIdleJob(job, answer(["node01"]), [alive], doubt("remote process"))).toEqual([alive]);
  });
});

test("the boot of nodes, as scontrol tells it", () => {
  const line =
    "NodeName=n1 Arch=x86_64 NodeAddr=10.0.0.1 NodeHostName=node01 BootTime=2026-01-12T16:49:29 SlurmdStartTime=None";
  const never = "NodeName=n2 NodeHostName=node02 BootTime=None";
  expect([...parseBoots(`${line}\n${never}\nnonsense\n`)]).toEqual([["node01", isoSeconds("2026-01-12T16:49:29")]]);
});
