import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { judge } from "../../src/evidence/judge.ts";
import { kernelLockEvidence } from "../../src/evidence/kernel-lock.ts";
import type { LockFacts } from "../../src/model/lock-facts.ts";
import type { OwnerRecord } from "../../src/model/owner-record.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { madeRecord } from "./made-record.ts";

const ours = madeRecord();
const bootId = "00000000-0000-4000-8000-000000000000";
const ofAnotherBoot: OwnerRecord = { ...ours, trainlock: ours.trainlock && { ...ours.trainlock, bootId } };

/** A lock that is free, on a disk of this host. `path`: the lock file itself, or a marker. */
async function freeLock(record: OwnerRecord | null, path?: string): Promise<LockFacts> {
  const lockPath = join(await temporaryRoot(), "a.lock");
  writeFileSync(lockPath, "\n");
  return {
    kind: path === undefined ? "fcntl" : "file",
    name: "s/d/m",
    path: path ?? lockPath,
    weightsDir: "/w",
    lockPath,
    kernelLock: { state: "free" },
    record,
    recordProblem: null,
    marker: null,
    pid: 1,
    startedAt: null,
  };
}

const statusOf = async (...given: Parameters<typeof freeLock>) =>
  judge(kernelLockEvidence(await freeLock(...given))).status;

describe("a free kernel lock on a disk of this host", () => {
  test("shows that its owner is gone", async () => {
    expect(await statusOf(ours)).toBe("stale");
    expect(await statusOf(ofAnotherBoot)).toBe("stale");
    // No other host can have held it.
    expect(kernelLockEvidence(await freeLock(ofAnotherBoot))[0]).not.toHaveProperty("unseenOn");
  });

  test("says nothing about a marker without a record: its writer never held it", async () => {
    expect(kernelLockEvidence(await freeLock(null, join(await temporaryRoot(), ".training_lock")))).toEqual([]);
  });

  test("says nothing about an owner of another boot where the marker lies on a file system that others may write", async () => {
    // Not among the file systems that belong to one host alone.
    expect(await statusOf(ofAnotherBoot, "/proc/self/.training_lock")).toBe("unknown");
    expect(await statusOf(ours, "/proc/self/.training_lock")).toBe("stale");
  });
});

test("a free lock on a file system that others may lock says nothing, wherever its weights dir is", async () => {
  const lockPath = "/proc/self/a.lock";
  const facts = { ...(await freeLock(ofAnotherBoot)), lockPath };
  expect(judge(kernelLockEvidence(facts)).status).toBe("unknown");
  const marker = { ...(await freeLock(ofAnotherBoot, join(await temporaryRoot(), ".training_lock"))), lockPath };
  expect(judge(kernelLockEvidence(marker)).status).toBe("unknown");
});

test("a held lock is alive for a marker with a record and for itself, and no matter of a key in a store", async () => {
  const held = { kernelLock: { state: "held" } } as const;
  const marker = join(await temporaryRoot(), ".training_lock");
  expect(judge(kernelLockEvidence({ ...(await freeLock(ours)), ...held })).status).toBe("active");
  expect(judge(kernelLockEvidence({ ...(await freeLock(null)), ...held })).status).toBe("active");
  expect(judge(kernelLockEvidence({ ...(await freeLock(ours, marker)), ...held })).status).toBe("active");
  expect(kernelLockEvidence({ ...(await freeLock(null, marker)), ...held })).toEqual([]);
  expect(kernelLockEvidence({ ...(await freeLock(ours)), kind: "etcd", ...held })).toEqual([]);
});

test("why a lock is stale is said by its kind", async () => {
  expect(judge(kernelLockEvidence(await freeLock(ours))).label).toBe("STALE - lock not held");
  const marker = join(await temporaryRoot(), ".training_lock");
  expect(judge(kernelLockEvidence(await freeLock(ours, marker))).label).toBe("STALE - PID not running");
});

test.each(["absent", "none"] as const)("a lock that is %s proves nothing", async (state) => {
  expect(judge(kernelLockEvidence({ ...(await freeLock(ours)), kernelLock: { state } })).status).toBe("unknown");
});
