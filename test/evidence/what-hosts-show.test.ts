import { describe, expect, test } from "vitest";
import type { HostReply } from "../../src/evidence/remote/ask-host.ts";
import type { HostAnswer } from "../../src/evidence/remote/host-answer.ts";
import type { RecordedOwner } from "../../src/evidence/remote/owner.ts";
import { recordedOnHost, tasksOnHost } from "../../src/evidence/remote/recorded-on-host.ts";
import { parseOwnerRecord } from "../../src/model/parse-owner-record.ts";
import { hashedMachineId, initialPidNamespace } from "../../src/system/processes/this-host.ts";
import { configuration } from "../support/configuration.ts";
import { foreignRecord } from "../support/foreign-lock.ts";
import { hostName } from "../support/host-name.ts";
import { foundNothing } from "./answers.ts";

const bootId = "11111111-1111-4111-8111-111111111111";
const token = "0123456789abcdef0123456789abcdef";
const bootedAtMs = 1_900_000_000_000;
const wrapper = { uid: 1000, name: "trainlock", startTimeTicks: 500, zombie: false, ageTicks: 100_000 };
const alice = { users: new Map([["alice", 1000]]) };

function answer(change: Partial<HostAnswer> = {}): HostReply {
  const plain = { ...foundNothing, bootId, bootedAtMs, hostname: "node01", pidNamespace: initialPidNamespace };
  return { kind: "answer", askedAt: 2_000_000_000_000, tookMs: 50, answer: { ...plain, ...change } };
}

/** Alice's claim on node01, of process 42. */
function owner(section: object = {}, change: Partial<RecordedOwner> = {}): RecordedOwner {
  const facts = { hostname: "node01", pid: 42, bootId, startTimeTicks: 500 };
  const reading = parseOwnerRecord(Buffer.from(JSON.stringify(foreignRecord(configuration("/root"), facts, 1))));
  if (reading.kind !== "record" || reading.record.trainlock === null) throw new Error("no record");
  const rest = { otherHosts: [], noted: [], weightsDir: null, user: "alice", lock: null, writtenAtMs: null };
  return {
    ...{ kind: "recorded", host: hostName("node01"), pid: 42, ...rest, ...change },
    section: { ...reading.record.trainlock, ...section },
  };
}

const says = (of: RecordedOwner, change: Partial<HostAnswer> = {}) => recordedOnHost(of, answer(change)).says;
const having = (...processes: readonly (readonly [number, object])[]) => ({
  processes: new Map(processes.map(([pid, change]) => [pid, { ...wrapper, ...change }])),
});

describe("a process whose start was not recorded", () => {
  test("is not known where the number is in use, and gone where it is not", () => {
    const of = owner({ startTimeTicks: null, childPid: null });
    expect(says(of, having([42, {}]))).toBe("unknown");
    expect(says(of)).toBe("dead");
  });
});

describe("a host that hides processes of others", () => {
  test("is believed for those that it shows", () => {
    const hidden = { seesAll: false, uid: 1000, ...alice };
    expect(says(owner(), { ...hidden, ...having([42, { startTimeTicks: 900 }]) })).toBe("dead");
    expect(says(owner(), hidden)).toBe("unknown");
  });
});

describe("who asks there as the training's own user", () => {
  test("sees all of it, whatever that user runs besides", () => {
    const later = having([77, { startTimeTicks: 900 }]);
    expect(says(owner(), { uid: 1000, ...alice, ...later })).toBe("dead");
    expect(says(owner(), { uid: 1001, ...alice, ...later })).toBe("unknown");
    expect(says(owner(), { uid: 1001, ...alice, ...having([77, { startTimeTicks: 900, zombie: true }]) })).toBe("dead");
  });

  test("sees on the other hosts of the job that there are no tasks", () => {
    const on = (change: Partial<HostAnswer>, of = owner()) => tasksOnHost(of, hostName("node02"), answer(change));
    const clear = { says: "unknown", because: "remote process" };
    const notSeen = { says: "unknown", because: "host not reached" };
    expect(on({ uid: 1000, ...alice })).toMatchObject(clear);
    expect(on({ uid: 0 })).toMatchObject(clear);
    expect(on({ uid: 1001, ...alice })).toMatchObject(notSeen);
    expect(on({ uid: 1000, ...alice }, owner({}, { user: null }))).toMatchObject(notSeen);
  });
});

describe("a container that is empty for who asks as root", () => {
  test("is not known to be, where a process does not show its namespace, root's own training included", () => {
    const namespaces = { inUse: new Set<number>(), closedOfOurs: 0, closedOfOthers: 1 };
    const of = owner({ pidNamespace: 4_026_532_000 }, { user: "root" });
    expect(says(of, { uid: 0, users: new Map([["root", 0]]), namespaces })).toBe("unknown");
    expect(says(of, { uid: 0, namespaces: { ...namespaces, closedOfOthers: 0 } })).toBe("dead");
  });
});

describe("what carries a token", () => {
  test("counts for the claim of that token alone", () => {
    const with77 = (carried: string) => ({
      ...having([77, { startTimeTicks: 900 }]),
      carriers: new Map([[77, { TRAINLOCK_TOKEN: carried }]]),
    });
    expect(says(owner(), with77(token))).toBe("alive");
    expect(says(owner(), with77("f".repeat(32)))).toBe("dead");
  });
});

describe("a command that runs under its wrapper", () => {
  test("is what the wrapper runs, and is named once the wrapper is gone", () => {
    const of = owner({ childPid: 43, childStartTimeTicks: 510 });
    const both = recordedOnHost(of, answer(having([42, {}], [43, { startTimeTicks: 510 }])));
    expect(both).toMatchObject({ says: "alive" });
    expect(both).not.toHaveProperty("living");
    const alone = recordedOnHost(of, answer(having([43, { startTimeTicks: 510 }])));
    expect(alone).toMatchObject({ says: "alive", living: { pid: 43 } });
  });
});

describe("another boot of that machine", () => {
  const machineId = "0123456789abcdef0123456789abcdef";
  const of = owner({ bootId: "22222222-2222-4222-8222-222222222222", machineId: hashedMachineId(machineId) });
  const before = { ...of, writtenAtMs: bootedAtMs - 86_400_000 };
  test("is a reboot for the same name, machine and namespace alone", () => {
    expect(says(before, { machineId })).toBe("dead");
    for (const other of [
      { hostname: "node02" },
      { hostname: null },
      { machineId: "f".repeat(32) },
      { machineId: null },
      { pidNamespace: 4_026_532_000 },
      { bootId: null },
      { bootedAtMs: null },
    ])
      expect([other, says(before, { machineId, ...other })]).toEqual([other, "unknown"]);
  });
});
