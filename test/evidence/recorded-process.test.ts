import { spawn } from "node:child_process";
import { readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { recordedProcessEvidence } from "../../src/evidence/recorded-process.ts";
import type { Evidence } from "../../src/model/evidence.ts";
import type { LockFacts } from "../../src/model/lock-facts.ts";
import type { OwnerRecord, TrainlockSection } from "../../src/model/owner-record.ts";
import { newOwnerRecord } from "../../src/stores/claim-record.ts";
import { bootedAtMs } from "../../src/system/clock/boot-clock.ts";
import { startTimeTicksOf } from "../../src/system/processes/process-table.ts";
import { thisHost } from "../../src/system/processes/this-host.ts";
import { randomHex } from "../../src/system/random.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { until } from "../support/until.ts";

type Change = Partial<TrainlockSection> & { pid?: number; hostname?: string; user?: string };

/** What this host says of a claim; `change`: where its record differs from one that was made here, now, by this process. */
async function evidence(change: Change, writtenAtMs = Date.now()): Promise<Evidence[]> {
  const { pid = process.pid, hostname = thisHost().hostname, user = thisHost().user, ...section } = change;
  const made = newOwnerRecord({
    configuration: null,
    token: randomHex(16),
    generation: 1,
    weightsDir: "/w",
    lockInode: 7n,
    command: null,
  });
  const record: OwnerRecord = {
    ...made,
    pid,
    hostname,
    user,
    trainlock: made.trainlock && { ...made.trainlock, ...section },
  };
  const path = join(await temporaryRoot(), "a.lock");
  writeFileSync(path, "");
  utimesSync(path, writtenAtMs / 1000, writtenAtMs / 1000);
  const facts: LockFacts = {
    ...{ kind: "fcntl", name: "s/d/m", path, weightsDir: null, lockPath: path, kernelLock: { state: "free" } },
    ...{ record, recordProblem: null, marker: null, pid, startedAt: null },
  } as LockFacts;
  return recordedProcessEvidence(facts);
}

const says = async (...given: Parameters<typeof evidence>) => (await evidence(...given)).map((found) => found.says);
const ownStart = startTimeTicksOf(process.pid) ?? 0;

/** A process that lives until the test ends, and when it began. Its environment is that, and nothing else. */
function living(env: Readonly<Record<string, string>> = {}): { pid: number; start: number } {
  const child = spawn("sleep", ["60"], { env: { PATH: process.env.PATH, ...env }, stdio: "ignore", detached: true });
  onTestFinished(() => void child.kill("SIGKILL"));
  const pid = child.pid ?? 0;
  return { pid, start: startTimeTicksOf(pid) ?? 0 };
}

/** One that is no relative of this process: what the asking call has started itself does not count. */
async function strangerWith(env: Readonly<Record<string, string>>): Promise<number> {
  const folder = await temporaryRoot();
  const line = `setsid sleep 60 & echo $! >"${folder}/pid"`;
  spawn("sh", ["-c", line], { env: { PATH: process.env.PATH, ...env }, stdio: "ignore" });
  const pid = await until("the process", () => Number(read(join(folder, "pid"))) || null);
  onTestFinished(() => {
    if (read(`/proc/${pid}/cmdline`).startsWith("sleep")) process.kill(pid, "SIGKILL");
  });
  return pid;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

describe("a PID that was recorded on this boot", () => {
  test("is alive since the recorded start, and another one with any other start", async () => {
    expect(await says({ startTimeTicks: ownStart })).toEqual(["alive"]);
    for (const start of [ownStart - 1, ownStart + 1, 5])
      expect(await says({ startTimeTicks: start, childPid: null })).toEqual(["dead"]);
  });

  test("is alive where no start was recorded: nobody can tell it from a later one", async () => {
    expect(await says({ startTimeTicks: null })).toEqual(["alive"]);
  });

  test("is dead once it is gone, or a zombie", async () => {
    expect(await says({ pid: deadPid })).toEqual(["dead"]);
    const parent = spawn("sh", ["-c", "sleep 0 & exec sleep 60"], { stdio: "ignore" });
    onTestFinished(() => void parent.kill("SIGKILL"));
    const zombie = await until("a zombie", () => {
      const [child] = read(`/proc/${parent.pid}/task/${parent.pid}/children`).split(" ");
      return child && /^State:\tZ/m.test(read(`/proc/${child}/status`)) ? Number(child) : null;
    });
    expect(await says({ pid: zombie, startTimeTicks: startTimeTicksOf(zombie) })).toEqual(["dead"]);
  });

  test("is survived by its command, by the command's own start; it is named", async () => {
    const command = living();
    const left = { pid: deadPid, childPid: command.pid, childStartTimeTicks: command.start };
    const found = await evidence(left);
    expect(found.map((one) => one.says)).toEqual(["dead", "alive"]);
    expect(found[1]).toMatchObject({ living: { pid: command.pid, command: ["sleep", "60"] } });
    expect(await says({ ...left, childStartTimeTicks: command.start + 1 })).toEqual(["dead"]);
    expect(await says({ ...left, childPid: deadPid - 1 })).toEqual(["dead"]);
  });

  test("is survived by what carries its token", async () => {
    const token = randomHex(16);
    const pid = await strangerWith({ TRAINLOCK_TOKEN: token });
    const found = await until("it to be seen", async () => {
      const all = await evidence({ pid: deadPid, token });
      return all.length > 1 ? all : null;
    });
    expect(found).toMatchObject([{ says: "dead" }, { says: "alive", living: { pid } }]);
    expect(await says({ pid: deadPid, token: randomHex(16) })).toEqual(["dead"]);
  });
});

describe("a PID that was recorded in another PID namespace of this boot", () => {
  const elsewhere = 4_026_530_000;
  test("says nothing by its number, whoever has it here", async () => {
    expect(await says({ pidNamespace: elsewhere, startTimeTicks: ownStart, token: null })).toEqual(["unknown"]);
    expect(await says({ pidNamespace: null, startTimeTicks: ownStart, token: null })).toEqual(["unknown"]);
  });

  const outside = requiresPrograms("a local file system and the initial PID namespace", "root");
  outside("is dead once nobody is left there, and alive by whoever got out with its token", async () => {
    const token = randomHex(16);
    expect(await evidence({ pidNamespace: elsewhere, token, startTimeTicks: ownStart })).toMatchObject([
      { says: "dead", detail: expect.stringContaining("nobody is left in its container") },
    ]);
    await strangerWith({ TRAINLOCK_TOKEN: token });
    const seen = (says: string, claim: Change) =>
      until(`it to be ${says}`, async () => ((await evidence(claim))[0]?.says === says ? true : null));
    await seen("alive", { pidNamespace: elsewhere, token });
    // A job that it has submitted carries the token, too: nobody knows from where it came.
    const ofAnotherJob = randomHex(16);
    await strangerWith({ TRAINLOCK_TOKEN: ofAnotherJob, SLURM_JOB_ID: "9" });
    await seen("unknown", { pidNamespace: elsewhere, token: ofAnotherJob });
  });

  requiresPrograms("unshare --pid")(
    "is alive by its number there and its start, which a later one has not",
    async () => {
      const box = spawn("unshare", ["--pid", "--fork", "--kill-child", "sleep", "60"], { stdio: "ignore" });
      onTestFinished(() => void box.kill("SIGKILL"));
      const inner = await until("the container", () => {
        const [child] = read(`/proc/${box.pid}/task/${box.pid}/children`).split(" ");
        return child && read(`/proc/${child}/cmdline`).startsWith("sleep") ? Number(child) : null;
      });
      const pidNamespace = statSync(`/proc/${inner}/ns/pid`).ino;
      const start = startTimeTicksOf(inner) ?? 0;
      expect(await says({ pid: 1, pidNamespace, startTimeTicks: start, token: null })).toEqual(["alive"]);
      expect(await says({ pid: 1, pidNamespace, startTimeTicks: start + 1 })).toEqual(["unknown"]);
      expect(await says({ pid: 2, pidNamespace, startTimeTicks: start })).toEqual(["unknown"]);
    },
  );
});

describe("a PID that was recorded on another boot", () => {
  const bootId = "00000000-0000-4000-8000-000000000000";
  const longBefore = (bootedAtMs() ?? 0) - 7_200_000;
  const outside = requiresPrograms("a local file system and the initial PID namespace");

  outside("of this host, an hour or more before this one: dead", async () => {
    expect(await evidence({ bootId }, longBefore)).toMatchObject([{ says: "dead", because: "host rebooted" }]);
  });
  outside("is not known to be this host's in any other case", async () => {
    const others: readonly (readonly [Change, number])[] = [
      [{ bootId }, Date.now()],
      [{ bootId }, (bootedAtMs() ?? 0) - 1_800_000],
      [{ bootId, hostname: "another" }, longBefore],
      [{ bootId, machineId: "0".repeat(32) }, longBefore],
      [{ bootId, machineId: null }, longBefore],
      [{ bootId, pidNamespace: 4_026_530_000 }, longBefore],
      [{ bootId: null }, longBefore],
    ];
    for (const [change, at] of others) expect([change, await says(change, at)]).toEqual([change, ["unknown"]]);
  });
});
