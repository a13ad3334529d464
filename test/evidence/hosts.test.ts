import { spawn, spawnSync } from "node:child_process";
import { readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { HostReply } from "../../src/evidence/remote/ask-host.ts";
import { bareOnHosts } from "../../src/evidence/remote/bare-on-hosts.ts";
import { type HostAnswer, type NamespacesSeen, parseHostAnswer } from "../../src/evidence/remote/host-answer.ts";
import { hostScript } from "../../src/evidence/remote/host-script.ts";
import type { RecordedOwner } from "../../src/evidence/remote/owner.ts";
import { recordedOnHost, tasksOnHost } from "../../src/evidence/remote/recorded-on-host.ts";
import { isHostName, sameHost } from "../../src/model/host-name.ts";
import { parseOwnerRecord } from "../../src/model/parse-owner-record.ts";
import { hashedMachineId, initialPidNamespace, thisHost } from "../../src/system/processes/this-host.ts";
import { randomHex } from "../../src/system/random.ts";
import { configuration } from "../support/configuration.ts";
import { foreignRecord } from "../support/foreign-lock.ts";
import { hostName } from "../support/host-name.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { until } from "../support/until.ts";
import { foundNothing, silent } from "./answers.ts";

const bootId = "11111111-1111-4111-8111-111111111111";
const other = "22222222-2222-4222-8222-222222222222";
const process42 = { uid: 1000, name: "train", startTimeTicks: 500, zombie: false, ageTicks: 100_000 };

function answer(change: Partial<HostAnswer> = {}): HostReply {
  const plain: HostAnswer = {
    ...foundNothing,
    bootId,
    bootedAtMs: 1_900_000_000_000,
    hostname: "node01",
    machineId: "0".repeat(32),
    pidNamespace: initialPidNamespace,
    processes: new Map([[42, process42]]),
  };
  return { kind: "answer", askedAt: 2_000_000_000_000, tookMs: 50, answer: { ...plain, ...change } };
}
const nobody = { processes: new Map() };

describe("a process that was recorded with boot id and start time", () => {
  const dayMs = 86_400_000;
  function recorded(change: object = {}, writtenAtMs = 1_900_000_000_000 - dayMs): RecordedOwner {
    const facts = { hostname: "node01", pid: 42, bootId, startTimeTicks: 500, ...change };
    const json = JSON.stringify(foreignRecord(configuration("/root"), facts, 1));
    const reading = parseOwnerRecord(Buffer.from(json));
    if (reading.kind !== "record" || reading.record.trainlock === null) throw new Error("no record");
    const { trainlock: section } = reading.record;
    const rest = { otherHosts: [], noted: [], weightsDir: null, user: "root", lock: null };
    return { kind: "recorded", host: hostName("node01"), pid: 42, section, writtenAtMs, ...rest };
  }
  const machineId = "0123456789abcdef0123456789abcdef";
  const ofMachine = answer({ ...nobody, machineId });
  const ofBoot = (beforeMs: number, change: object = {}) => {
    const owner = recorded({ bootId: other, ...change }, 1_900_000_000_000 - beforeMs);
    return { ...owner, section: { ...owner.section, machineId: hashedMachineId(machineId) } };
  };
  test.each([
    ["runs", recorded(), answer(), "alive"],
    ["is gone", recorded(), answer(nobody), "dead"],
    ["is a zombie", recorded(), answer({ processes: new Map([[42, { ...process42, zombie: true }]]) }), "dead"],
    ["is another one now", recorded({ startTimeTicks: 499 }), answer(), "dead"],
    ["is not shown", recorded(), answer({ ...nobody, seesAll: false }), "unknown"],
    ["shows nothing", recorded(), answer({ ...nobody, hidden: new Set([42]) }), "unknown"],
    ["was in a container", recorded({ pidNamespace: 4026532000 }), answer(nobody), "unknown"],
    ["was on an earlier boot of that machine", ofBoot(dayMs), ofMachine, "dead"],
    ["was on another boot, half an hour before this one at most", ofBoot(dayMs / 48), ofMachine, "unknown"],
    ["was on an earlier boot, in a container", ofBoot(dayMs, { pidNamespace: 4026532000 }), ofMachine, "unknown"],
    ["was on another machine of that name", recorded({ bootId: other }), answer(nobody), "unknown"],
    ["was on a host that does not answer", recorded(), silent, "unknown"],
  ] as const)("%s", (_, owner, reply, says) => {
    expect(recordedOnHost(owner, reply).says).toBe(says);
  });

  describe("whose container asks nobody", () => {
    const pidNamespace = 4026532000;
    const token = "0123456789abcdef0123456789abcdef";
    const seen = { inUse: new Set<number>(), closedOfOurs: 0, closedOfOthers: 0 };
    const left = (change: Partial<HostAnswer> = {}, namespaces: Partial<NamespacesSeen> = {}) =>
      answer({ ...nobody, namespaces: { ...seen, ...namespaces }, ...change });
    const asOwner = { uid: 1000, users: new Map([["root", 1000]]) };
    test.each([
      ["nobody is left in it", left(), "dead"],
      ["somebody is in it", left({}, { inUse: new Set([pidNamespace]) }), "unknown"],
      [
        "one that got out of it carries the token",
        left({ carriers: new Map([[77, { TRAINLOCK_TOKEN: token }]]) }),
        "unknown",
      ],
      ["nobody could look for the token", left({ carriers: null }), "unknown"],
      ["nobody could look at all", answer(nobody), "unknown"],
      ["a process does not show its own", left({}, { closedOfOthers: 1 }), "unknown"],
      ["one of others does not, and its user asks", left(asOwner, { closedOfOthers: 1 }), "dead"],
      ["one of others does not, and another user asks", left({ uid: 1001 }, { closedOfOthers: 1 }), "unknown"],
      ["one of that user does not", left(asOwner, { closedOfOurs: 1 }), "unknown"],
      ["processes are hidden there", left({ seesAll: false }), "unknown"],
      ["who asks there is in a container too", left({ pidNamespace: 4026532111 }), "unknown"],
    ] as const)("%s", (_, reply, says) => {
      expect(recordedOnHost(recorded({ pidNamespace }), reply).says).toBe(says);
    });
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

describe("the rest of a training whose wrapper and command are gone", () => {
  const token = "0123456789abcdef0123456789abcdef";
  const job = { kind: "slurm", job_id: "7", restart_count: 1 };
  function owner(change: Partial<RecordedOwner> = {}): RecordedOwner {
    const facts = { hostname: "node01", pid: 42, bootId, startTimeTicks: 500, scheduler: job };
    const reading = parseOwnerRecord(Buffer.from(JSON.stringify(foreignRecord(configuration("/root"), facts, 1))));
    if (reading.kind !== "record" || reading.record.trainlock === null) throw new Error("no record");
    const { trainlock: section } = reading.record;
    const plain = {
      kind: "recorded",
      host: "node01",
      pid: 42,
      writtenAtMs: null,
      noted: [],
      user: "alice",
      lock: null,
    };
    return { ...plain, section, ...change } as RecordedOwner;
  }
  const worker = { uid: 1000, name: "worker", startTimeTicks: 900, zombie: false, ageTicks: 100 };
  const with77 = (change: object = {}, more: Partial<HostAnswer> = {}) =>
    answer({ processes: new Map([[77, { ...worker, ...change }]]), ...more });
  const carries = (variables: object) => ({ carriers: new Map([[77, { TRAINLOCK_TOKEN: token, ...variables }]]) });
  const ofJob = carries({ SLURM_JOB_ID: "7", SLURM_RESTART_COUNT: "1" });
  const noted = [{ pid: 77, startTimeTicks: 900 }];

  test.each([
    ["a process that the wrapper noted", owner({ noted }), with77(), "alive"],
    ["a later process with its number", owner({ noted }), with77({ startTimeTicks: 901 }), "dead"],
    ["a zombie", owner({ noted }), with77({ zombie: true }), "dead"],
    ["one that shows nothing", owner({ noted }), answer({ ...nobody, hidden: new Set([77]) }), "unknown"],
    ["one that carries the token in the same run of its job", owner(), with77({}, ofJob), "alive"],
    ["one of a later run", owner(), with77({}, carries({ SLURM_JOB_ID: "7", SLURM_RESTART_COUNT: "2" })), "dead"],
    ["one of a job that it submitted", owner(), with77({}, carries({ SLURM_JOB_ID: "8" })), "dead"],
    ["one outside of any job", owner(), with77({}, carries({})), "dead"],
    ["who asks, from within it", owner(), with77({}, { ...ofJob, own: new Set([77]) }), "dead"],
    ["what was started for the question", owner(), with77({ ageTicks: 0 }, ofJob), "dead"],
    ["nobody looked", owner(), answer({ ...nobody, carriers: null }), "unknown"],
  ] as const)("%s", (_, of, reply, says) => {
    expect(recordedOnHost(of, reply).says).toBe(says);
  });

  describe("on the other hosts of its job", () => {
    const other = hostName("node02");
    const closed = { uid: 1001, users: new Map([["alice", 1000]]) };
    test.each([
      ["a task carries the token in the same run of its job", with77({}, ofJob), "alive", null],
      ["nobody carries it", answer(nobody), "unknown", "remote process"],
      ["its host does not answer", silent, "unknown", "host not reached"],
      ["nobody looked", answer({ ...nobody, carriers: null }), "unknown", "host not reached"],
      ["its user's processes are closed to who asks", answer({ ...nobody, ...closed }), "unknown", "host not reached"],
    ] as const)("%s", (_, reply, says, because) => {
      expect(tasksOnHost(owner(), other, reply)).toMatchObject({ says, ...(because && { because }) });
    });
  });

  test("is named with its command line", () => {
    const reply = with77({}, { commands: new Map([[77, ["python", "worker.py"]]]) });
    const living = { pid: 77, hostname: "node01", command: ["python", "worker.py"] };
    expect(recordedOnHost(owner({ noted }), reply)).toMatchObject({ says: "alive", living });
    expect(recordedOnHost(owner({ noted }), with77())).toMatchObject({ living: { command: ["[worker]"] } });
  });

  describe("of another user, whose environment is closed", () => {
    const closed = { uid: 1001, users: new Map([["alice", 1000]]) };
    const lock = { path: "/l", inode: 70n };
    const tried = (held: boolean, inode = 70n) => ({ locks: new Map([["/l", { held, inode }]]) });
    test.each([
      ["nothing of theirs was started since", owner(), answer({ ...nobody, ...closed }), "dead"],
      ["something of theirs was started since", owner(), with77({}, closed), "unknown"],
      ["something of theirs ran before", owner(), with77({ startTimeTicks: 499 }, closed), "dead"],
      ["something of others was started since", owner(), with77({ uid: 1002 }, closed), "dead"],
      ["that host does not know them", owner(), answer({ ...nobody, uid: 1001 }), "unknown"],
      ["the lock is free there", owner({ lock }), answer({ ...nobody, ...closed, ...tried(false) }), "dead"],
      ["the lock is held there", owner({ lock }), answer({ ...nobody, ...closed, ...tried(true) }), "alive"],
      [
        "another lock file lies there",
        owner({ lock }),
        answer({ ...nobody, ...closed, ...tried(true, 71n) }),
        "unknown",
      ],
      ["the lock could not be tried", owner({ lock }), answer({ ...nobody, ...closed }), "unknown"],
    ] as const)("%s", (_, of, reply, says) => {
      expect(recordedOnHost(of, reply).says).toBe(says);
    });
  });
});

describe("a PID of no known host", () => {
  /** Taken 100 s before the hosts are asked; process 42 was 1,000 s old then. */
  const owner = {
    kind: "bare",
    host: null,
    pid: 42,
    marker: null,
    uid: 1000,
    user: null,
    since: 2_000_000_000 - 100,
    changedAt: 2_000_000_000 - 100,
  } as const;
  const says = (...replies: readonly HostReply[]) => {
    const asked = replies.map((reply, n) => ({ host: hostName(`node0${n + 1}`), reply, jobId: null }));
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
    expect(says(answer({ ...nobody, nested: new Map([[42, [77]]]) }))).toEqual(["unknown"]);
  });
  test("perhaps inside a container, and another's process outside of it: unknown", () => {
    const both = (inside: object) =>
      answer({
        processes: new Map([
          [42, { ...process42, uid: 1001 }],
          [977, { ...process42, ...inside }],
        ]),
        nested: new Map([[42, [977]]]),
      });
    expect(says(both({}))).toEqual(["alive"]);
    // Half an hour younger than the lock: the clocks of hosts and file server may differ.
    expect(says(both({ ageTicks: 50 * 100 }))).toEqual(["unknown"]);
    expect(says(both({ uid: 1002 }))).toEqual(["dead"]);
  });
  test("inside a container: by its owner and age there", () => {
    const inside = (change: object) =>
      answer({ processes: new Map([[977, { ...process42, ...change }]]), nested: new Map([[42, [977]]]) });
    expect(says(inside({}))).toEqual(["alive"]);
    expect(says(inside({ uid: 1001 }))).toEqual(["unknown"]);
    expect(says(inside({ ageTicks: 100 }))).toEqual(["unknown"]);
  });
  test("PID 1 is no proof of anything, but inside a container", () => {
    const asked = (reply: HostReply) => [{ host: hostName("node01"), reply, jobId: null }];
    const first = { ...owner, pid: 1 };
    const init = answer({ processes: new Map([[1, process42]]) });
    expect(bareOnHosts(first, asked(init))).toMatchObject([{ says: "unknown" }]);
    const inside = answer({ processes: new Map([[977, process42]]), nested: new Map([[1, [977]]]) });
    expect(bareOnHosts(first, asked(inside))).toMatchObject([{ says: "alive" }]);
  });
  test("taken by the question itself: nobody's", () => {
    // A second after the lock was taken: by age alone that is the owner.
    const fresh = { ...owner, since: 2_000_000_000 - 1 };
    const found = (ageTicks: number, own: number[], tookMs: number) => {
      const reply = answer({ processes: new Map([[42, { ...process42, ageTicks }]]), own: new Set(own) });
      return bareOnHosts(fresh, [
        { host: hostName("node01"), reply: { ...reply, tookMs } as HostReply, jobId: null },
      ])[0]?.says;
    };
    expect(found(0, [], 50)).toBe("dead");
    expect(found(-1, [], 50)).toBe("dead");
    expect(found(20, [42], 500)).toBe("dead");
    expect(found(20, [], 500)).toBe("alive");
    // An ancestor that was there before, such as a job script that asks about its own lock.
    expect(found(200, [42], 500)).toBe("alive");
  });
  test("a little younger than the lock: clocks differ, so unknown", () => {
    expect(says(with42({ ageTicks: 90 * 100 }))).toEqual(["unknown"]);
  });
  test("much younger, but the clock there was set by more since boot: unknown", () => {
    const young = { processes: new Map([[42, { ...process42, ageTicks: -400 * 100 + 10 * 100 + 401 * 100 }]]) };
    const long = { ...owner, since: owner.since - 3600, changedAt: owner.since - 3600 };
    const found = (clockMovedSeconds: number | null) =>
      bareOnHosts(long, [{ host: hostName("node01"), reply: answer({ ...young, clockMovedSeconds }), jobId: null }])[0]
        ?.says;
    expect([found(null), found(60), found(7200)]).toEqual(["unknown", "dead", "unknown"]);
  });
  test("of a user that its file server cannot name: unknown", () => {
    for (const uid of [null, 65_534])
      expect(
        bareOnHosts({ ...owner, uid }, [{ host: hostName("node01"), reply: with42({ uid: 1 }), jobId: null }])[0]?.says,
      ).toBe("unknown");
  });
  test("another owner or time, given to the marker since that process began: unknown", () => {
    const touched = { ...owner, changedAt: owner.since + 50 };
    const found = (change: object) =>
      bareOnHosts(touched, [{ host: hostName("node01"), reply: with42(change), jobId: null }])[0]?.says;
    expect([found({ uid: 1001 }), found({})]).toEqual(["unknown", "alive"]);
    expect(found({ uid: 1001, ageTicks: 1 })).toBe("unknown");
    const atOnce = { ...owner, changedAt: owner.since + 0.05 };
    const reply = with42({ uid: 1001 });
    expect(bareOnHosts(atOnce, [{ host: hostName("node01"), reply, jobId: null }])[0]?.says).toBe("unknown");
  });
  test("hidden from its owner, who may not signal it: another user's, so dead", () => {
    const hidden = { ...nobody, seesAll: false, uid: 1000 };
    expect(says(answer(hidden))).toEqual(["dead"]);
    expect(says(answer({ ...hidden, takingSignals: new Set([42]) }))).toEqual(["unknown"]);
    expect(says(answer({ ...hidden, uid: 1001 }))).toEqual(["unknown"]);
  });
  test("nobody to ask: no evidence", () => {
    expect(says()).toEqual([]);
  });
});

describe("the script for hosts", () => {
  const nothing = { pids: [], containers: false, namespaces: [], tokens: [], users: [], folders: [], locks: [] };

  const shells = ["/bin/sh", "/bin/bash"].filter((shell) => spawnSync(shell, ["-c", ":"]).status === 0);
  test.each(shells)("tells %s what /proc knows, with no other program", (shell) => {
    const script = hostScript({ ...nothing, pids: [process.pid, deadPid], containers: true });
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

  test.each(shells)(
    "finds for %s who carries a token, whose environment says which job, and what is locked",
    async (shell) => {
      const token = randomHex(16);
      const path = join(await temporaryRoot(), "it's a lock");
      writeFileSync(path, "");
      const env = {
        PATH: process.env.PATH,
        TRAINLOCK_TOKEN: token,
        SLURM_JOB_ID: "7",
        OTHER: "x\ntrainlock-probe end",
      };
      const holder = spawn("flock", [path, "sleep", "60"], { env, stdio: "ignore", detached: true });
      onTestFinished(() => void process.kill(-(holder.pid ?? 0), "SIGKILL"));
      const wish = {
        ...nothing,
        pids: [holder.pid ?? 0],
        tokens: [token],
        users: [userInfo().username],
        locks: [path],
      };
      const ask = () =>
        parseHostAnswer(spawnSync(shell, ["-s"], { input: hostScript(wish), encoding: "utf8" }).stdout, wish.locks);
      const read = await until("the lock to be held", () => {
        const found = ask();
        return found?.locks.get(path)?.held ? found : null;
      });
      expect(read.locks.get(path)).toEqual({ held: true, inode: statSync(path, { bigint: true }).ino });
      expect(read.carriers?.get(holder.pid ?? 0)).toEqual({ TRAINLOCK_TOKEN: token, SLURM_JOB_ID: "7" });
      expect(read.carriers?.size).toBe(2);
      expect(read.commands.get(holder.pid ?? 0)).toEqual(["flock", path, "sleep", "60"]);
      expect(read.users.get(userInfo().username)).toBe(process.getuid?.());
      expect(read.own.has(process.pid)).toBe(true);
    },
  );

  test("without grep it says that nobody has looked", () => {
    const input = `PATH=/nonexistent\n${hostScript({ ...nothing, tokens: ["0".repeat(32)] })}`;
    expect(parseHostAnswer(spawnSync("/bin/sh", ["-s"], { input, encoding: "utf8" }).stdout)?.carriers).toBeNull();
  });

  const inContainers = requiresPrograms("root", "unshare --pid");
  inContainers("finds whether anybody is in a container", async () => {
    const box = spawn("unshare", ["--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "60"], {
      stdio: "ignore",
    });
    onTestFinished(() => void box.kill("SIGKILL"));
    const namespace = await until("the container", () => {
      const [inner] = readFileSync(`/proc/${box.pid}/task/${box.pid}/children`, "utf8").split(" ");
      const name = inner ? readlinkSync(`/proc/${inner}/ns/pid`) : "";
      const inode = Number(/\d+/.exec(name)?.[0]);
      return inode > 0 && inode !== thisHost().pidNamespace ? inode : null;
    });
    const never = 4_026_539_999;
    const ask = () => {
      const input = hostScript({ ...nothing, namespaces: [namespace, never] });
      return parseHostAnswer(spawnSync("/bin/sh", ["-s"], { input, encoding: "utf8" }).stdout)?.namespaces;
    };
    expect(ask()).toEqual({ inUse: new Set([namespace]), closedOfOurs: 0, closedOfOthers: 0 });
    box.kill("SIGKILL");
    await until("its end", () => (ask()?.inUse.size === 0 ? true : null));
  });

  test("an answer that was cut short is none", () => {
    const { stdout } = spawnSync("/bin/sh", ["-s"], { input: hostScript({ ...nothing, pids: [1] }), encoding: "utf8" });
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
