import { expect, test } from "vitest";
import type { SchedulerJob } from "../../src/model/owner-record.ts";
import { isEarlierRun } from "../../src/system/processes/scheduler-job.ts";

const ours: SchedulerJob = {
  kind: "slurm",
  jobId: "4711",
  arrayIndex: "3",
  arrayJobId: null,
  cluster: null,
  startedAt: null,
  oneHostStep: null,
  otherHosts: null,
  restartCount: 2,
  submittedAt: null,
};

test("an earlier run is the same job and element, started fewer times", () => {
  expect(isEarlierRun({ ...ours, restartCount: 1 }, ours)).toBe(true);
  expect(isEarlierRun({ ...ours, restartCount: 0 }, ours)).toBe(true);
});

test.each([
  ["nothing that is known", null],
  ["the same run", ours],
  ["a later run", { ...ours, restartCount: 3 }],
  ["another job", { ...ours, restartCount: 0, jobId: "4712" }],
  ["another element", { ...ours, restartCount: 0, arrayIndex: "4" }],
  ["another cluster", { ...ours, cluster: "here", restartCount: 0 }],
  ["no element", { ...ours, restartCount: 0, arrayIndex: null }],
  ["another scheduler", { ...ours, restartCount: 0, kind: "lsf" }],
] as const)("%s is none", (_what, theirs) => {
  expect(isEarlierRun(theirs, { ...ours, cluster: "there" })).toBe(false);
});
