import { describe, expect, test } from "vitest";
import type { HostReply } from "../../src/evidence/remote/ask-host.ts";
import { ownerEvidence } from "../../src/evidence/remote/owner-evidence.ts";
import { schedulerProbes } from "../../src/evidence/schedulers/choose.ts";
import type { ListedJob, LostHost, SchedulerAnswer } from "../../src/evidence/schedulers/listed-job.ts";
import type { HostName } from "../../src/model/host-name.ts";
import { hostName } from "../support/host-name.ts";
import { foundNothing, listedJob, silent } from "./answers.ts";

const takenAt = 1_768_232_969;
const owner = {
  kind: "bare",
  host: null,
  pid: 42,
  marker: null,
  uid: 1000,
  user: null,
  since: takenAt,
  changedAt: takenAt,
} as const;
const users = { nameOf: () => "alice", uidOf: () => null };
const without42: HostReply = {
  kind: "answer",
  askedAt: (takenAt + 100) * 1000,
  tookMs: 50,
  answer: foundNothing,
};

async function says(
  jobs: readonly ListedJob[],
  more: {
    uid?: number;
    name?: string | null;
    lost?: LostHost[] | null;
    hosts?: HostName[];
    silent?: string;
    scheduler?: SchedulerAnswer | null;
    asker?: { uid: number; user: string };
    hidesOthers?: boolean;
  } = {},
) {
  const { hidesOthers } = more;
  const lostHosts = more.lost === undefined ? [] : more.lost;
  const list = { kind: "jobs", jobs, lostHosts, ...(hidesOthers === undefined ? {} : { hidesOthers }) } as const;
  const answer = more.scheduler === undefined ? list : more.scheduler;
  const asked: string[] = [];
  const evidence = await ownerEvidence(
    { process: { ...owner, uid: more.uid ?? owner.uid }, job: null },
    {
      jobs: { of: () => (answer === null ? null : { probe: schedulerProbes.slurm, answer }) },
      users: { ...users, nameOf: () => (more.name === undefined ? "alice" : more.name) },
      hosts: more.hosts ?? [],
      ours: null,
      asker: more.asker ?? { uid: 0, user: "root" },
      ask: async (host) => {
        asked.push(host);
        return host === more.silent ? silent : without42;
      },
    },
  );
  return { asked, says: evidence.map((finding) => finding.says) };
}

describe("the hosts that are asked for a bare PID", () => {
  test("those of all of its owner's jobs that had begun by then, ended ones too", async () => {
    const jobs = [
      listedJob({}),
      listedJob({ hosts: [hostName("node02")], means: "unclear", state: "NODE_FAIL" }),
      listedJob({ hosts: [hostName("node03")], uid: 1001 }),
      listedJob({ hosts: [hostName("node04")], means: "ended", state: "COMPLETED" }),
      listedJob({ hosts: [hostName("node05")], startedAt: takenAt + 4000 }),
      listedJob({ hosts: [hostName("node06")], waits: true, state: "PENDING" }),
    ];
    expect(await says(jobs)).toEqual({ asked: ["node01", "node02", "node04"], says: ["dead"] });
    expect(await says(jobs, { silent: "node04" })).toMatchObject({ says: ["unknown"] });
    expect(await says(jobs, { silent: "node02" })).toMatchObject({ says: ["unknown"] });
  });

  test("a job that began within an hour of it counts: the clocks of scheduler and file server differ", async () => {
    const jobs = [listedJob({}), listedJob({ hosts: [hostName("node02")], startedAt: takenAt + 1800 })];
    expect(await says(jobs)).toEqual({ asked: ["node01", "node02"], says: ["dead"] });
  });

  test("they are not all known where a job was requeued since: it ran somewhere before", async () => {
    const again = (change: object) => says([listedJob({}), listedJob({ startedAt: takenAt + 600, ...change })]);
    expect(await again({ restartCount: 0 })).toMatchObject({ says: ["dead"] });
    expect(await again({ restartCount: 1 })).toMatchObject({ says: ["unknown"] });
    expect(await again({ restartCount: 1, startedAt: takenAt + 4000 })).toMatchObject({ says: ["unknown"] });
    expect(await again({ restartCount: 1, startedAt: takenAt + 30 })).toMatchObject({ says: ["unknown"] });
    expect(await again({ restartCount: 1, startedAt: null, waits: true })).toMatchObject({ says: ["unknown"] });
    expect(await again({ restartCount: 1, uid: 1001 })).toMatchObject({ says: ["dead"] });
    expect(await again({ restartCount: 1, startedAt: takenAt - 60 })).toMatchObject({ says: ["dead"] });
  });

  test("those given by hand as well", async () => {
    expect(await says([], { hosts: [hostName("login1")] })).toEqual({ asked: ["login1"], says: ["dead"] });
  });

  test("those given by hand are not all for root, nor for a user without a name: both may be in a container of any job", async () => {
    const hosts = [hostName("login1")];
    const bobs = listedJob({ uid: 1001, user: "bob", hosts: [hostName("node09")] });
    for (const who of [
      { uid: 0, name: "root" },
      { uid: 100_999, name: null },
    ]) {
      expect(await says([bobs], { ...who, hosts })).toEqual({ asked: ["login1"], says: ["unknown"] });
      expect(await says([bobs], { ...who, hosts, scheduler: null })).toMatchObject({ says: ["dead"] });
      const own = listedJob({ uid: who.uid, user: who.name });
      expect(await says([bobs, own], { ...who, hosts })).toMatchObject({ asked: ["node01", "login1"], says: ["dead"] });
    }
  });

  test("those given by hand are all there are only where no scheduler is, or where it has answered", async () => {
    const hosts = [hostName("login1")];
    expect(await says([], { hosts, scheduler: null })).toMatchObject({ says: ["dead"] });
    for (const why of ["squeue did not answer in time", "squeue failed (exit 1)", "squeue is not installed"])
      expect(await says([], { hosts, scheduler: { kind: "no answer", why } })).toMatchObject({ says: ["unknown"] });
    expect(await says([], { hosts, lost: null })).toMatchObject({ says: ["unknown"] });
  });

  test("a scheduler that may hide its owner's jobs from who asks names none of them", async () => {
    const hosts = [hostName("login1")];
    const bob = { uid: 1001, user: "bob" };
    const bobs = listedJob({ uid: 1001, user: "bob", hosts: [hostName("node09")] });
    expect(await says([bobs], { hosts, asker: bob })).toMatchObject({ says: ["unknown"] });
    expect(await says([bobs], { hosts, asker: bob, hidesOthers: true })).toMatchObject({ says: ["unknown"] });
    expect(await says([bobs], { hosts, asker: bob, hidesOthers: false })).toMatchObject({ says: ["dead"] });
    expect(await says([bobs, listedJob({ uid: 1002 })], { hosts, asker: bob })).toMatchObject({ says: ["dead"] });
    expect(await says([], { hosts, asker: { uid: 1000, user: "alice" } })).toMatchObject({ says: ["dead"] });
  });

  test("a node that was lost since, though its jobs are forgotten; not one that was lost before", async () => {
    const lost = [
      { host: hostName("node02"), since: takenAt - 1800 },
      { host: hostName("node03"), since: takenAt - 86_400 },
    ];
    expect(await says([listedJob({})], { lost, silent: "node02" })).toEqual({
      asked: ["node01", "node02"],
      says: ["unknown"],
    });
    expect(await says([listedJob({})], { lost })).toMatchObject({ says: ["dead"] });
  });

  test("nobody, or only lost nodes: unknown", async () => {
    expect(await says([])).toEqual({ asked: [], says: ["unknown"] });
    expect(await says([], { lost: [{ host: hostName("node02"), since: null }] })).toMatchObject({ says: ["unknown"] });
    expect(await says([listedJob({})], { lost: null })).toMatchObject({ says: ["unknown"] });
  });
});
