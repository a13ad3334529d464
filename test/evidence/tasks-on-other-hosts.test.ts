import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { makeExamine } from "../../src/evidence/examine.ts";
import { remoteOptionsOf } from "../../src/evidence/remote/options.ts";
import type { LockFacts } from "../../src/model/lock-facts.ts";
import type { SchedulerJob, TrainlockSection } from "../../src/model/owner-record.ts";
import { emptySiteConfig } from "../../src/site/site-config.ts";
import { newOwnerRecord } from "../../src/stores/claim-record.ts";
import { randomHex } from "../../src/system/random.ts";
import { hostName } from "../support/host-name.ts";
import { deadPid } from "../support/process-state.ts";
import { standIns } from "../support/stand-ins.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

afterEach(() => vi.unstubAllEnvs());

const job: SchedulerJob = {
  ...{ kind: "slurm", jobId: "7", arrayIndex: null, arrayJobId: null, cluster: null, startedAt: null },
  ...{ oneHostStep: null, otherHosts: [hostName("unknown-key-1")], restartCount: 0, submittedAt: null },
};

interface Changes {
  readonly section?: Partial<TrainlockSection>;
  readonly path?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Of a claim that was made on this host and whose process is gone; its lock is free, on a file system that others may have. */
async function examined({ section = {}, path = "/proc/self/m.lock", env = {} }: Changes = {}) {
  const { env: withStandIns, log } = await standIns();
  for (const [name, value] of Object.entries({ ...withStandIns, ...env })) vi.stubEnv(name, value);
  const claim = { configuration: null, generation: 1, weightsDir: "/proc/self", lockInode: 7n, command: null };
  const made = newOwnerRecord({ ...claim, token: randomHex(16), owner: { pid: deadPid, startTimeTicks: 5 } });
  const trainlock = made.trainlock && { ...made.trainlock, childPid: null, scheduler: job, ...section };
  const facts: LockFacts = {
    ...{ kind: "fcntl", name: "s/d/m", path, lockPath: path, weightsDir: null, kernelLock: { state: "free" } },
    ...{ record: { ...made, trainlock }, recordProblem: null, marker: null, pid: deadPid, startedAt: null },
  };
  const examine = makeExamine(remoteOptionsOf({ ...emptySiteConfig, scheduler: "none" }));
  const { verdict } = await examine(facts);
  return { label: verdict.label, asked: log().filter((line) => line.startsWith("start ssh")).length };
}

describe("a claim of a job of several hosts, of which this host has nothing left", () => {
  test("is not known to be over while another of them cannot be asked for tasks", async () => {
    expect(await examined()).toEqual({ label: "UNKNOWN - host not reached", asked: 1 });
  });

  test("is over once each of them has said that it has no task", async () => {
    const otherHosts = [hostName("node-1"), hostName("node-2")];
    const section = { scheduler: { ...job, otherHosts } };
    expect(await examined({ section })).toEqual({ label: "STALE - lock not held", asked: 2 });
  });

  test("is over by this host's word where tasks elsewhere cannot be: nobody is asked", async () => {
    const local = join(await temporaryRoot(), "m.lock");
    const over = { label: "STALE - lock not held", asked: 0 };
    expect(await examined({ path: local })).toEqual(over);
    expect(await examined({ section: { scheduler: null } })).toEqual(over);
    for (const otherHosts of [null, []])
      expect(await examined({ section: { scheduler: { ...job, otherHosts } } })).toEqual(over);
    expect(await examined({ section: { releasedAt: "2026-01-12T16:49:29" } })).toEqual(over);
  });

  test("is over for the next run of that very job: its scheduler has ended the tasks", async () => {
    const slurm = { SLURM_JOB_ID: "7", SLURM_RESTART_COUNT: "1" };
    expect(await examined({ env: slurm })).toEqual({ label: "STALE - lock not held", asked: 0 });
    vi.unstubAllEnvs();
    expect(await examined({ env: { ...slurm, SLURM_JOB_ID: "8" } })).toMatchObject({ asked: 1 });
    vi.unstubAllEnvs();
    expect(await examined({ env: { ...slurm, SLURM_RESTART_COUNT: "0" } })).toMatchObject({ asked: 1 });
  });
});
