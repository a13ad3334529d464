import { describe, expect, test } from "vitest";
import { schedulerProbes } from "../../src/evidence/schedulers/choose.ts";
import { jobEvidence, type RecordedJob } from "../../src/evidence/schedulers/job-evidence.ts";
import type { ListedJob } from "../../src/evidence/schedulers/listed-job.ts";
import { hostName } from "../support/host-name.ts";
import { listedJob, recordedJob } from "./answers.ts";

const lockedAt = 1_768_232_969;
const recorded = (change: Partial<RecordedJob> = {}) =>
  recordedJob({ id: "7", user: "alice", host: "node01", lockedAt, ...change });

function says(job: RecordedJob, listed: Partial<ListedJob> = {}): string {
  const [found] = jobEvidence(schedulerProbes.slurm, job, [listedJob(listed)]);
  return found?.says === "unknown" ? `unknown: ${found.because}` : (found?.says ?? "nothing");
}
const ended = { means: "ended", state: "COMPLETED" } as const;
const waits = { waits: true, means: "unclear", state: "PENDING", hosts: [] } as const;
const other = "unknown: remote process";

describe("a listed job is the one that took the lock", () => {
  test("whatever one of the two does not name is not compared", () => {
    expect(says(recorded())).toBe("alive");
    for (const unsaid of [{ user: null }, { host: null }, { lockedAt: null }, { restartCount: null }])
      expect([unsaid, says(recorded(unsaid))]).toEqual([unsaid, "alive"]);
    for (const unsaid of [{ user: null }, { hosts: [] }, { startedAt: null }, { restartCount: null }])
      expect([unsaid, says(recorded({ cluster: "a" }), unsaid)]).toEqual([unsaid, "alive"]);
    expect(says(recorded({ arrayIndex: "3" }), { arrayIndex: null })).toBe("alive");
    expect(says(recorded({ arrayIndex: null }), { arrayIndex: "3" })).toBe("alive");
  });

  test("another element, user, host, cluster, start or run is another job: neither its life nor its end counts", () => {
    const others: readonly (readonly [RecordedJob, Partial<ListedJob>])[] = [
      [recorded({ arrayIndex: "3" }), { arrayIndex: "4" }],
      [recorded(), { user: "bob" }],
      [recorded(), { hosts: [hostName("node02")] }],
      [recorded({ cluster: "a" }), { cluster: "b" }],
      [recorded({ startedAt: lockedAt - 600 }), { startedAt: lockedAt - 60 }],
      [recorded(), { startedAt: lockedAt + 600 }],
      [recorded({ restartCount: 1 }), { restartCount: 2 }],
      [recorded(), { id: "8" }],
    ];
    for (const [job, listed] of others) {
      expect([listed, says(job, listed)]).toEqual([listed, other]);
      expect([listed, says(job, { ...listed, ...ended })]).toEqual([listed, other]);
    }
  });

  test("one that has ended is over, unless it had ended before the lock was taken", () => {
    expect(says(recorded(), ended)).toBe("dead");
    expect(says(recorded(), { ...ended, endedAt: lockedAt + 600 })).toBe("dead");
    expect(says(recorded(), { ...ended, endedAt: lockedAt - 60 })).toBe("dead");
    expect(says(recorded(), { ...ended, endedAt: lockedAt - 600 })).toBe(other);
    expect(says(recorded({ lockedAt: null }), { ...ended, endedAt: lockedAt - 600 })).toBe("dead");
  });

  test("PBS: with a server's name on one side, and not with another server's", () => {
    const pbs = (id: string, listed: string) => says(recorded({ id }), { id: listed });
    expect(pbs("123", "123.server")).toBe("alive");
    expect(pbs("123.server", "123.server")).toBe("alive");
    expect(pbs("123.server", "123")).toBe("alive");
    expect(pbs("123[4].server", "123[].server")).toBe("alive");
    expect(pbs("123.server", "123.other")).toBe(other);
    expect(pbs("123.server", "124.server")).toBe(other);
  });
});

describe("a job that waits to run", () => {
  const requeued = "unknown: job requeued";
  test("is a later run of the one that took the lock, if it was not restarted less often", () => {
    expect(says(recorded({ restartCount: 1 }), { ...waits, restartCount: 1 })).toBe(requeued);
    expect(says(recorded({ restartCount: 1 }), { ...waits, restartCount: 2 })).toBe(requeued);
    expect(says(recorded({ restartCount: 1 }), { ...waits, restartCount: 0 })).toBe(other);
  });

  test("without a count on both sides by when it was submitted", () => {
    const uncounted = { ...waits, restartCount: null };
    expect(says(recorded(), { ...uncounted, submittedAt: lockedAt - 600 })).toBe(requeued);
    expect(says(recorded(), { ...uncounted, submittedAt: lockedAt + 60 })).toBe(requeued);
    expect(says(recorded(), { ...uncounted, submittedAt: lockedAt + 600 })).toBe(other);
    expect(says(recorded(), { ...uncounted, submittedAt: null })).toBe(requeued);
    expect(says(recorded({ lockedAt: null }), { ...uncounted, submittedAt: lockedAt + 600 })).toBe(requeued);
    expect(says(recorded({ restartCount: null }), { ...waits, submittedAt: lockedAt + 600 })).toBe(other);
    expect(says(recorded(), { ...uncounted, submittedAt: lockedAt - 600, user: "bob" })).toBe(other);
  });
});
