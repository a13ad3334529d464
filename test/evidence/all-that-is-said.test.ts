import { describe, expect, test } from "vitest";
import { judge } from "../../src/evidence/judge.ts";
import type { HostReply } from "../../src/evidence/remote/ask-host.ts";
import type { HostAnswer } from "../../src/evidence/remote/host-answer.ts";
import type { BareOwner, Owner, RecordedOwner } from "../../src/evidence/remote/owner.ts";
import { ownerEvidence, type Witnesses } from "../../src/evidence/remote/owner-evidence.ts";
import { schedulerProbes } from "../../src/evidence/schedulers/choose.ts";
import type { ListedJob, SchedulerAnswer } from "../../src/evidence/schedulers/listed-job.ts";
import type { SchedulerJob } from "../../src/model/owner-record.ts";
import { parseOwnerRecord } from "../../src/model/parse-owner-record.ts";
import { initialPidNamespace } from "../../src/system/processes/this-host.ts";
import { configuration } from "../support/configuration.ts";
import { foreignRecord } from "../support/foreign-lock.ts";
import { hostName } from "../support/host-name.ts";
import { foundNothing, listedJob, recordedJob, silent } from "./answers.ts";

const bootId = "11111111-1111-4111-8111-111111111111";
const token = "0123456789abcdef0123456789abcdef";
const job = { kind: "slurm", job_id: "7", restart_count: 0 };

/** The claim of alice's job 7 on node01, which has node02 as well. */
function recorded(otherHosts: readonly string[] = ["node02"]): RecordedOwner {
  const facts = { hostname: "node01", pid: 42, bootId, startTimeTicks: 500, scheduler: job };
  const reading = parseOwnerRecord(Buffer.from(JSON.stringify(foreignRecord(configuration("/root"), facts, 1))));
  if (reading.kind !== "record" || reading.record.trainlock === null) throw new Error("no record");
  const rest = { noted: [], weightsDir: null, user: "alice", lock: null, writtenAtMs: null };
  const section = reading.record.trainlock;
  return {
    kind: "recorded",
    host: hostName("node01"),
    pid: 42,
    section,
    otherHosts: otherHosts.map(hostName),
    ...rest,
  };
}

const answered = (change: Partial<HostAnswer> = {}): HostReply => ({
  kind: "answer",
  askedAt: 2_000_000_000_000,
  tookMs: 50,
  answer: { ...foundNothing, bootId, pidNamespace: initialPidNamespace, ...change },
});
const training = { uid: 1000, name: "train", startTimeTicks: 900, zombie: false, ageTicks: 100 };
const withTask = answered({
  processes: new Map([[77, training]]),
  carriers: new Map([[77, { TRAINLOCK_TOKEN: token, SLURM_JOB_ID: "7" }]]),
});

interface Asked {
  readonly jobs?: SchedulerAnswer | readonly ListedJob[];
  readonly hosts?: Readonly<Record<string, HostReply>>;
  readonly ours?: SchedulerJob | null;
  readonly more?: Partial<Witnesses>;
}

async function evidence(owner: Owner, { jobs = [], hosts = {}, ours = null, more = {} }: Asked) {
  const answer: SchedulerAnswer = "kind" in jobs ? jobs : { kind: "jobs", jobs, lostHosts: [] };
  return ownerEvidence(owner, {
    jobs: { of: () => ({ probe: schedulerProbes.slurm, answer }) },
    users: { nameOf: () => "alice", uidOf: (name) => (name === "alice" ? 1000 : null) },
    ask: async (host) => hosts[host] ?? answered(),
    hosts: [],
    ours,
    asker: { uid: 0, user: "root" },
    ...more,
  });
}
const ofJob7 = { ...recordedJob({ id: "7", user: "alice", host: "node01" }), kind: "slurm" as const };
const label = async (asked: Asked, process = recorded(), of: Owner["job"] = ofJob7) =>
  judge(await evidence({ process, job: of }, asked)).label;
const runs = listedJob({ hosts: ["node01", "node02"].map(hostName) });
const ended = listedJob({ means: "ended", state: "COMPLETED" });

describe("a job of two hosts", () => {
  test("is gone once each host has nothing of it, or it has ended", async () => {
    expect(await label({ jobs: [runs] })).toBe("STALE - PID not running");
    expect(await label({ jobs: [ended], hosts: { node02: silent } })).toBe("STALE - job ended");
  });
  test("is not known to be gone while one of them does not answer", async () => {
    expect(await label({ jobs: [], hosts: { node02: silent } })).toBe("UNKNOWN - host not reached");
    expect(await label({ jobs: { kind: "no answer", why: "" }, hosts: { node02: silent } })).toBe(
      "UNKNOWN - host not reached",
    );
    expect(await label({ hosts: { node02: silent } }, recorded(), null)).toBe("UNKNOWN - host not reached");
  });
  test("lives with a task on either, also when its scheduler calls it ended", async () => {
    expect(await label({ jobs: [ended], hosts: { node02: withTask } })).toBe("ACTIVE");
    expect(await label({ jobs: [ended], hosts: { node01: withTask } })).toBe("ACTIVE");
  });
  test("lives while it runs, and one of its hosts has not been looked at", async () => {
    expect(await label({ jobs: [runs] }, recorded([]))).toBe("ACTIVE");
    expect(await label({ jobs: [runs], hosts: { node02: silent } })).toBe("ACTIVE");
  });
});

describe("a claim without a job, or without an answer about it", () => {
  test("is known by its host alone", async () => {
    expect(await label({}, recorded([]), null)).toBe("STALE - PID not running");
    expect(await label({ jobs: { kind: "no answer", why: "squeue failed" } }, recorded([]))).toBe(
      "STALE - PID not running",
    );
    expect(await label({ hosts: { node01: silent } }, recorded([]), null)).toBe("UNKNOWN - remote process");
    expect(judge(await evidence({ process: null, job: ofJob7 }, { jobs: [ended] })).label).toBe("STALE - job ended");
  });
});

describe("the next run of a requeued job, whose first host is down", () => {
  const again: SchedulerJob = {
    ...{ kind: "slurm", jobId: "7", arrayIndex: null, arrayJobId: null, cluster: null, startedAt: null },
    ...{ oneHostStep: null, otherHosts: null, restartCount: 1, submittedAt: null },
  };
  const down: SchedulerAnswer = { kind: "jobs", jobs: [], lostHosts: [{ host: hostName("node01"), since: null }] };
  test("takes over, but for what answers there after all", async () => {
    expect(await label({ jobs: down, hosts: { node01: silent }, ours: again }, recorded([]))).toBe("STALE - job ended");
    expect(await label({ jobs: down, hosts: { node01: silent } }, recorded([]))).toBe("UNKNOWN - remote process");
    expect(await label({ jobs: down, hosts: { node01: withTask }, ours: again }, recorded([]))).toBe("ACTIVE");
    const hidden = answered({ seesAll: false });
    expect(await label({ jobs: down, hosts: { node01: hidden }, ours: again }, recorded([]))).toBe(
      "UNKNOWN - remote process",
    );
  });
});

describe("a PID of a host, and of a user by name", () => {
  const since = 2_000_000_000 - 100;
  const bare: BareOwner = {
    ...{ kind: "bare", host: hostName("node01"), pid: 42, marker: null, uid: null, user: "alice" },
    ...{ since, changedAt: since },
  };
  const has42 = (uid: number) =>
    answered({ hostname: "node01", processes: new Map([[42, { ...training, uid, ageTicks: 100_000 }]]) });
  const bareLabel = async (hosts: Asked["hosts"], owner: BareOwner = bare) =>
    judge(await evidence({ process: owner, job: null }, hosts === undefined ? {} : { hosts })).label;
  test("is that user's process there", async () => {
    expect(await bareLabel({ node01: has42(1000) })).toBe("ACTIVE");
    expect(await bareLabel({ node01: has42(1001) })).toBe("STALE - PID not running");
    expect(await bareLabel({ node01: has42(1001) }, { ...bare, user: "somebody" })).toBe("UNKNOWN - remote process");
    expect(await bareLabel({ node01: has42(1001) }, { ...bare, user: null })).toBe("UNKNOWN - remote process");
  });
});

describe("a PID of no known host", () => {
  const since = 2_000_000_000 - 100;
  const bare: BareOwner = {
    ...{ kind: "bare", host: null, pid: 42, marker: null, uid: 1000, user: null },
    ...{ since, changedAt: since },
  };
  const has42 = answered({ processes: new Map([[42, { ...training, ageTicks: 100_000 }]]) });
  const bareLabel = async (asked: Asked, owner: BareOwner = bare) =>
    judge(await evidence({ process: owner, job: null }, asked)).label;

  test("is alive where it is found, whatever may have been left out", async () => {
    const jobs: SchedulerAnswer = { kind: "jobs", jobs: [listedJob({})], lostHosts: null };
    expect(await bareLabel({ jobs, hosts: { node01: has42 } })).toBe("ACTIVE");
    expect(await bareLabel({ jobs })).toBe("UNKNOWN - remote process");
  });

  test("counts a job whose start or whose user id is not told, by the user's name", async () => {
    const byName = listedJob({ uid: null, startedAt: null });
    expect(await bareLabel({ jobs: [byName], hosts: { node01: has42 } })).toBe("ACTIVE");
    expect(await bareLabel({ jobs: [byName] })).toBe("STALE - PID not running");
    for (const user of ["bob", null])
      expect(await bareLabel({ jobs: [listedJob({ uid: null, user })] })).toBe("UNKNOWN - remote process");
  });

  test("is not known where the scheduler shows the asking user nobody else's jobs, told by ids or by names", async () => {
    const asker = { uid: 1001, user: "bob" };
    const more = { asker, hosts: [hostName("login1")] };
    const ofNames = (user: string | null) => [listedJob({ uid: null, user, hosts: [hostName("node09")] })];
    expect(await bareLabel({ jobs: ofNames("bob"), more })).toBe("UNKNOWN - remote process");
    expect(await bareLabel({ jobs: ofNames(null), more })).toBe("UNKNOWN - remote process");
    expect(await bareLabel({ jobs: ofNames("carol"), more })).toBe("STALE - PID not running");
    const hides = (jobs: ListedJob[]): SchedulerAnswer => ({ kind: "jobs", jobs, lostHosts: [], hidesOthers: true });
    expect(await bareLabel({ jobs: hides(ofNames("carol")), more })).toBe("UNKNOWN - remote process");
    expect(await bareLabel({ jobs: hides([listedJob({})]), more })).toBe("STALE - PID not running");
  });

  test("is not known where nobody can say whose it is, and a scheduler has jobs", async () => {
    const unknown = { ...bare, uid: null };
    const more = { hosts: [hostName("login1")] };
    expect(await bareLabel({ jobs: [listedJob({})], more }, unknown)).toBe("UNKNOWN - remote process");
    expect(await bareLabel({ jobs: [listedJob({})], more })).toBe("STALE - PID not running");
  });
});
