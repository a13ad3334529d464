import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { makeExamine } from "../../src/evidence/examine.ts";
import { remoteOptionsOf } from "../../src/evidence/remote/options.ts";
import { remoteSource } from "../../src/evidence/remote/remote-source.ts";
import type { LockFacts } from "../../src/model/lock-facts.ts";
import { recordIn } from "../../src/model/owner-record.ts";
import { parseOwnerRecord } from "../../src/model/parse-owner-record.ts";
import { emptySiteConfig } from "../../src/site/site-config.ts";
import { standIns } from "../support/stand-ins.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** A lock of which only its job is known. */
function lockOfJob(jobId: number): LockFacts {
  const written = {
    strategy: "s",
    dataset: "d",
    model: `m${jobId}`,
    job_id: String(jobId),
    acquired_at: "2026-01-12T16:49:29",
  };
  const record = recordIn(parseOwnerRecord(Buffer.from(JSON.stringify(written))));
  const path = `/nowhere/m${jobId}.lock`;
  const nothing = { weightsDir: null, recordProblem: null, marker: null, pid: null, startedAt: null };
  return {
    kind: "fcntl",
    name: `s/d/m${jobId}`,
    path,
    lockPath: path,
    kernelLock: { state: "none" },
    record,
    ...nothing,
  };
}

test("who watches asks a scheduler once a minute, for all locks together, and says of a newer claim that it is not asked yet", async () => {
  const { env, log } = await standIns("squeue");
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const told: number[] = [];
  const real = performance.now.bind(performance);
  let laterMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => real() + laterMs);
  const source = remoteSource({
    ...remoteOptionsOf(),
    scheduler: "slurm",
    askEveryMs: 60_000,
    onAsked: (ms) => told.push(ms),
  });
  const look = async (...jobs: number[]) => (await Promise.all(jobs.map((id) => source(lockOfJob(id))))).flat();
  const asked = () => log().length;
  for (const { detail } of await look(1, 2)) expect(detail).toMatch(/^Slurm gives no evidence on job/);
  expect(asked()).toBe(1);
  laterMs = 12_000;
  expect(await look(1, 3)).toEqual([
    expect.objectContaining({ detail: expect.stringMatching(/^Slurm gives no evidence/) }),
    expect.objectContaining({ says: "unknown", detail: "others are asked once a minute, the next time in 48 s" }),
  ]);
  laterMs = 59_000;
  await look(1, 2, 3, 4);
  expect(asked()).toBe(1);
  laterMs = 61_000;
  const after = await look(1, 2, 3, 4);
  expect(asked()).toBe(2);
  for (const { detail } of after) expect(detail).toMatch(/^Slurm gives no evidence on job/);
  // Once a question, and before its last answer is used.
  expect(told).toHaveLength(2);
  expect(Math.min(...told)).toBeGreaterThan(0);
});

test("once the holder's host was asked, files that were just written keep nobody waiting: crash, fix, restart is quick", async () => {
  const { env } = await standIns();
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const weightsDir = await temporaryRoot();
  writeFileSync(join(weightsDir, "train.log"), "step 1\n");
  const examine = makeExamine(remoteOptionsOf({ ...emptySiteConfig, scheduler: "none" }));
  const written = { hostname: "node-1", pid: 4_194_303, acquired_at: "2026-01-12T16:49:29" };
  const record = recordIn(parseOwnerRecord(Buffer.from(JSON.stringify(written))));
  const { verdict } = await examine({ ...lockOfJob(1), record, pid: written.pid, weightsDir });
  expect(verdict.label).toBe("STALE - PID not running");
});

test("where nobody could look at the holder's host, files that were just written outweigh a job that has ended", async () => {
  const { env } = await standIns("squeue", "sinfo");
  const answers = await temporaryRoot();
  const job = "7|1000|alice|COMPLETED|2026-01-12T16:40:00|2026-01-12T16:41:00|2026-01-12T17:00:00|0|node-1|node-1|";
  writeFileSync(join(answers, "squeue"), `${job}\n`);
  writeFileSync(join(answers, "sinfo"), "");
  for (const [name, value] of Object.entries({ ...env, STAND_IN_ANSWER: answers })) vi.stubEnv(name, value);
  const weightsDir = await temporaryRoot();
  const label = async () => {
    const examine = makeExamine(remoteOptionsOf({ ...emptySiteConfig, scheduler: "slurm" }));
    return (await examine({ ...lockOfJob(7), weightsDir })).verdict.label;
  };
  expect(await label()).toBe("STALE - job ended");
  writeFileSync(join(weightsDir, "train.log"), "step 1\n");
  expect(await label()).toBe("UNKNOWN - still being written");
});
