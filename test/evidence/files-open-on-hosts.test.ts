import { describe, expect, test } from "vitest";
import { bareOnHosts } from "../../src/evidence/remote/bare-on-hosts.ts";
import type { HostAnswer } from "../../src/evidence/remote/host-answer.ts";
import type { BareOwner } from "../../src/evidence/remote/owner.ts";
import { hostName } from "../support/host-name.ts";
import { foundNothing } from "./answers.ts";

const since = 2_000_000_000 - 100;
const script: BareOwner = {
  ...{ kind: "bare", host: null, pid: 42, marker: "/w/m/.training_lock", uid: 1000, user: null },
  ...{ since, changedAt: since },
};
const alices = { uid: 1000, name: "train", startTimeTicks: 500, zombie: false, ageTicks: 100_000 };

function ask(owner: BareOwner, change: Partial<HostAnswer>, jobId: string | null = null) {
  const answer = { ...foundNothing, hostname: "node01", ...change };
  const reply = { kind: "answer", askedAt: 2_000_000_000_000, tookMs: 50, answer } as const;
  return bareOnHosts(owner, [{ host: hostName("node01"), reply, jobId }]);
}
const says = (...given: Parameters<typeof ask>) => ask(...given).map((found) => found.says);

describe("a script that is gone, and a process of the marker's owner on that host", () => {
  const open = (path: string, change: object = {}, writes = true) => ({
    opened: [{ pid: 77, writes, path }],
    processes: new Map([[77, { ...alices, ...change }]]),
  });
  const path = "/w/m/x.pth";

  test("that writes in the marker's folder: alive, and it is named", () => {
    const commands = { commands: new Map([[77, ["python", "train.py"]]]) };
    expect(ask(script, { ...open(path), ...commands }, "7")).toEqual([
      {
        source: "ssh",
        says: "alive",
        detail: "process 77 on node01 has x.pth open for writing: python train.py (job 7)",
        where: { host: "node01", jobId: "7" },
        living: { pid: 77, hostname: "node01", command: ["python", "train.py"] },
      },
    ]);
    expect(says(script, open("/w/m/ckpt/1.pth"))).toEqual(["alive"]);
  });

  test("that does anything else there, or does it elsewhere: the script is gone", () => {
    for (const [what, found] of [
      ["reads", open(path, {}, false)],
      ["has one of our files open", open("/w/m/.training_lock.json")],
      ["writes in another folder", open("/w/m_2/x.pth")],
      ["is another user's", open(path, { uid: 1001 })],
      ["is a zombie", open(path, { zombie: true })],
      ["was started for the question", open(path, { ageTicks: 0 })],
      ["is the shell that asks", { ...open(path), own: new Set([77]) }],
      ["has ended meanwhile", { opened: open(path).opened }],
    ] as const)
      expect([what, says(script, found)]).toEqual([what, ["dead"]]);
    expect(says({ ...script, marker: null }, open(path))).toEqual(["dead"]);
  });

  test("outweighs what keeps the number from being known", () => {
    expect(says(script, { ...open(path), nested: new Map([[42, [99]]]) })).toEqual(["alive"]);
    expect(says(script, { ...open(path), seesAll: false })).toEqual(["alive"]);
  });
});

describe("a number that is found", () => {
  const found = { processes: new Map([[42, alices]]) };
  test("may be another's where its host is not known, and the job that led there is said", () => {
    const [unknownHost] = ask(script, found);
    expect(unknownHost).toMatchObject({
      says: "alive",
      detail: "process 42 runs on node01; the number may be another's",
    });
    expect(unknownHost).not.toHaveProperty("living");
    const [knownHost] = ask({ ...script, host: hostName("node01") }, found, "7");
    expect(knownHost).toMatchObject({ says: "alive", detail: "process 42 runs on node01 (job 7)" });
  });

  test("is not known where it shows nothing, or where the marker's time was set back since that process began", () => {
    expect(says(script, { hidden: new Set([42]) })).toEqual(["unknown"]);
    const setBack = { ...script, since: since - 86_400, changedAt: since + 50 };
    expect(says(setBack, found)).toEqual(["unknown"]);
    // Set back before it began: it is too young for that marker.
    expect(says({ ...setBack, changedAt: since - 80_000 }, found)).toEqual(["dead"]);
  });

  test("is a zombie's, and so nobody's", () => {
    expect(says(script, { processes: new Map([[42, { ...alices, zombie: true }]]) })).toEqual(["dead"]);
    const inside = { nested: new Map([[42, [99]]]), processes: new Map([[99, { ...alices, zombie: true }]]) };
    expect(says(script, inside)).toEqual(["unknown"]);
  });

  test("of a host that the lock names counts for nothing where another host answers to the name", () => {
    const named = { ...script, host: hostName("node01") };
    expect(says(named, {})).toEqual(["dead"]);
    expect(says(named, { hostname: "node02" })).toEqual(["unknown"]);
    expect(says(named, { hostname: null })).toEqual(["unknown"]);
    expect(says(named, { hostname: "node01.cluster.example" })).toEqual(["dead"]);
  });
});

describe("an empty marker", () => {
  const empty: BareOwner = { ...script, pid: null };
  const opened = (path: string, writes: boolean) => ({ opened: [{ pid: 77, writes, path }] });
  const marker = "/w/m/.training_lock";

  test("is nobody's where nobody has it open, for who sees all that its owner has open", () => {
    expect(ask(empty, {})).toMatchObject([{ says: "dead", because: "no PID" }]);
    expect(says(empty, { uid: 1000 })).toEqual(["dead"]);
    expect(says(empty, { uid: 1000, seesAll: false })).toEqual(["unknown"]);
    expect(says(empty, { uid: 1001 })).toEqual(["unknown"]);
    expect(says(empty, { opened: null })).toEqual(["unknown"]);
  });

  test("is being written by who has it open for that", () => {
    expect(says(empty, opened(marker, true))).toEqual(["unknown"]);
    expect(says(empty, opened(marker, false))).toEqual(["dead"]);
    expect(says(empty, opened("/w/m/.training_lock.json", true))).toEqual(["dead"]);
    expect(says({ ...empty, marker: null }, {})).toEqual(["unknown"]);
  });
});
