import { spawnSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { HostReply } from "../../src/evidence/remote/ask-host.ts";
import { bareOnHosts } from "../../src/evidence/remote/bare-on-hosts.ts";
import { type HostAnswer, parseHostAnswer } from "../../src/evidence/remote/host-answer.ts";
import { hostScript } from "../../src/evidence/remote/host-script.ts";
import type { RecordedOwner } from "../../src/evidence/remote/owner.ts";
import { recordedOnHost } from "../../src/evidence/remote/recorded-on-host.ts";
import { isHostName, sameHost } from "../../src/model/host-name.ts";
import { parseOwnerRecord } from "../../src/model/parse-owner-record.ts";
import { initialPidNamespace } from "../../src/system/processes/this-host.ts";
import { configuration } from "../support/configuration.ts";
import { foreignRecord } from "../support/foreign-lock.ts";
import { deadPid } from "../support/process-state.ts";

const bootId = "11111111-1111-4111-8111-111111111111";
const other = "22222222-2222-4222-8222-222222222222";
const process42 = { uid: 1000, startTimeTicks: 500, zombie: false, ageTicks: 100_000 };

function answer(change: Partial<HostAnswer> = {}): HostReply {
  const plain: HostAnswer = {
    bootId,
    bootedAtMs: 1_900_000_000_000,
    hostname: "node01",
    machineId: "0".repeat(32),
    pidNamespace: initialPidNamespace,
    seesAll: true,
    uid: 0,
    processes: new Map([[42, process42]]),
    hidden: new Set(),
    nested: new Set(),
  };
  return { kind: "answer", askedAt: 2_000_000_000_000, answer: { ...plain, ...change } };
}
const silent: HostReply = { kind: "silent", why: "does not answer (timed out)" };
const nobody = { processes: new Map() };

describe("a process that was recorded with boot id and start time", () => {
  const dayMs = 86_400_000;
  function recorded(change: object = {}, writtenAtMs = 1_900_000_000_000 - dayMs): RecordedOwner {
    const facts = { hostname: "node01", pid: 42, bootId, startTimeTicks: 500, ...change };
    const json = JSON.stringify(foreignRecord(configuration("/root"), facts, 1));
    const reading = parseOwnerRecord(Buffer.from(json));
    if (reading.kind !== "record" || reading.record.trainlock === null) throw new Error("no record");
    return { kind: "recorded", host: "node01", pid: 42, section: reading.record.trainlock, writtenAtMs };
  }
  test.each([
    ["runs", recorded(), answer(), "alive"],
    ["is gone", recorded(), answer(nobody), "dead"],
    ["is a zombie", recorded(), answer({ processes: new Map([[42, { ...process42, zombie: true }]]) }), "dead"],
    ["is another one now", recorded({ startTimeTicks: 499 }), answer(), "dead"],
    ["is not shown", recorded(), answer({ ...nobody, seesAll: false }), "unknown"],
    ["shows nothing", recorded(), answer({ ...nobody, hidden: new Set([42]) }), "unknown"],
    ["was in a container", recorded({ pidNamespace: 4026532000 }), answer(nobody), "unknown"],
    ["was on another machine of that name", recorded({ bootId: other }), answer(nobody), "unknown"],
    ["was on a host that does not answer", recorded(), silent, "unknown"],
  ] as const)("%s", (_, owner, reply, says) => {
    expect(recordedOnHost(owner, reply).says).toBe(says);
  });

  test("is survived by its command", () => {
    const owner = recorded();
    const section = { ...owner.section, childPid: 43 };
    const withCommand = answer({ processes: new Map([[43, { ...process42, startTimeTicks: 510 }]]) });
    expect(recordedOnHost({ ...owner, section }, withCommand).says).toBe("alive");
    const laterOne = answer({ processes: new Map([[43, { ...process42, startTimeTicks: 99_000 }]]) });
    expect(recordedOnHost({ ...owner, section }, laterOne).says).toBe("dead");
    // By its own start time, however long after its wrapper that was.
    const exact = { ...owner, section: { ...section, childStartTimeTicks: 99_000 } };
    expect(recordedOnHost(exact, laterOne).says).toBe("alive");
    expect(recordedOnHost(exact, withCommand).says).toBe("dead");
  });
});

describe("a PID of no known host", () => {
  /** Taken 100 s before the hosts are asked; process 42 was 1,000 s old then. */
  const owner = { kind: "bare", host: null, pid: 42, uid: 1000, user: null, since: 2_000_000_000 - 100 } as const;
  const says = (...replies: readonly HostReply[]) => {
    const asked = replies.map((reply, n) => ({ host: `node0${n + 1}`, reply, jobId: null }));
    return bareOnHosts(owner, asked).map((evidence) => evidence.says);
  };
  const with42 = (change: object) => answer({ processes: new Map([[42, { ...process42, ...change }]]) });
  test("found on one: alive, whatever the others say", () => {
    expect(says(answer(nobody), answer())).toEqual(["alive"]);
    expect(says(silent, answer())).toEqual(["alive"]);
  });
  test("all asked and on none: dead", () => {
    expect(says(answer(nobody), answer(nobody))).toEqual(["dead"]);
    expect(says(with42({ uid: 1001 }), answer(nobody))).toEqual(["dead"]);
    expect(says(with42({ ageTicks: 10 * 100 - 300 * 100 }), answer(nobody))).toEqual(["dead"]);
  });
  test("one not reached, or not open: unknown", () => {
    expect(says(answer(nobody), silent)).toEqual(["unknown"]);
    expect(says(answer({ ...nobody, seesAll: false }))).toEqual(["unknown"]);
    expect(says(answer({ ...nobody, nested: new Set([42]) }))).toEqual(["unknown"]);
  });
  test("a little younger than the lock: clocks differ, so unknown", () => {
    expect(says(with42({ ageTicks: 90 * 100 }))).toEqual(["unknown"]);
  });
  test("nobody to ask: no evidence", () => {
    expect(says()).toEqual([]);
  });
});

describe("the script for hosts", () => {
  const shells = ["/bin/sh", "/bin/bash"].filter((shell) => spawnSync(shell, ["-c", ":"]).status === 0);
  test.each(shells)("tells %s what /proc knows, with no other program", (shell) => {
    const script = hostScript([process.pid, deadPid], true);
    // No PATH: whatever is not built into the shell would fail.
    const run = spawnSync(shell, ["-s"], { input: `PATH=/nonexistent\n${script}`, encoding: "utf8" });
    const read = parseHostAnswer(`Welcome to node01\n${run.stdout}`);
    const stat = readFileSync("/proc/self/stat", "utf8");
    const startTimeTicks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    expect(read).toMatchObject({
      bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
      hostname: readFileSync("/proc/sys/kernel/hostname", "utf8").trim(),
      uid: process.getuid?.(),
    });
    expect(read?.processes.get(process.pid)).toMatchObject({ uid: process.getuid?.(), startTimeTicks, zombie: false });
    expect(read?.processes.has(deadPid)).toBe(false);
    const namespace = Number(/\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0]);
    expect([namespace, null]).toContain(read?.pidNamespace);
  });

  test("an answer that was cut short is none", () => {
    const { stdout } = spawnSync("/bin/sh", ["-s"], { input: hostScript([1], false), encoding: "utf8" });
    expect(parseHostAnswer(stdout)).not.toBeNull();
    expect(parseHostAnswer(stdout.replace(/^.* end\n/m, ""))).toBeNull();
    expect(parseHostAnswer("")).toBeNull();
  });
});

test("host names are words, and short ones stand for long ones", () => {
  for (const name of ["node01", "a", "node-01.cluster_2.example", "10.0.0.1"]) expect(isHostName(name)).toBe(true);
  for (const name of ["", "-o", "a b", "a;b", "$(a)", "a@b", "a/b", "a\nb", "a..b", "é", "a-", "n".repeat(300)])
    expect(isHostName(name)).toBe(false);
  expect(sameHost("node01", "node01.cluster.example")).toBe(true);
  expect(sameHost("node01.a", "node01.b")).toBe(false);
  expect(sameHost("node01", "node011")).toBe(false);
});
