import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { describe, expect, test } from "vitest";
import { isFromBeforeBoot, recordWrittenAtMs } from "../../src/evidence/record-time.ts";
import type { OwnerRecord, SchedulerJob } from "../../src/model/owner-record.ts";
import { recordIn, spelledJobId } from "../../src/model/owner-record.ts";
import { parseOwnerRecord } from "../../src/model/parse-owner-record.ts";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { foreignRecord } from "../support/foreign-lock.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import {
  executable,
  holdWithLastingCommand,
  holdWithRun,
  killWithCommand,
  run,
  trainlock,
} from "../support/trainlock.ts";
import { until } from "../support/until.ts";

async function labels(root: string): Promise<Record<string, string>> {
  const { stdout } = await trainlock(["list", "--file-only", "--root", root, "--scheduler", "none", "--json"]);
  const { locks } = JSON.parse(stdout) as { locks: { name: string; label: string }[] };
  return Object.fromEntries(locks.map(({ name, label }) => [name, label]));
}

const renamed = (of: TestConfiguration) => configuration(of.root, of.strategy, of.dataset, `${of.model}_old`);

describe("a marker whose folder has another name now", () => {
  test("is dead when its owner is, though its old name is trained again", async () => {
    const of = configuration(await temporaryRoot());
    await killWithCommand(await holdWithLastingCommand(of.args));
    renameSync(of.weightsDir, renamed(of).weightsDir);
    await holdWithRun(of.args);
    expect(await labels(of.root)).toEqual({
      [of.name]: "ACTIVE",
      [renamed(of).name]: "STALE - PID not running",
    });
    expect((await trainlock(["run", ...renamed(of).args, "--", "true"])).exitCode).toBe(0);
  });

  test("is cleared while its old name is trained", async () => {
    const of = configuration(await temporaryRoot());
    await killWithCommand(await holdWithLastingCommand(of.args));
    renameSync(of.weightsDir, renamed(of).weightsDir);
    await holdWithRun(of.args);
    await trainlock(["clear", "--root", of.root, "--no-dry-run"]);
    expect([existsSync(renamed(of).marker), existsSync(of.marker)]).toEqual([false, true]);
  });

  test("is never free while its own owner lives", async () => {
    const of = configuration(await temporaryRoot());
    await holdWithRun(of.args);
    cpSync(of.weightsDir, renamed(of).weightsDir, { recursive: true, preserveTimestamps: true });
    expect(await labels(of.root)).not.toHaveProperty(renamed(of).name, expect.stringMatching(/^STALE/));
  });
});

describe("a record that does not belong to a marker", () => {
  /** A live job's marker, and a record beside it that says that its owner is dead. */
  async function withRecord(change: (of: TestConfiguration) => void): Promise<Record<string, string>> {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, `${process.pid}\n`);
    const dead = { hostname: "node01", pid: process.pid, startTimeTicks: 5 };
    const record = foreignRecord(of, dead, statSync(of.marker).ino);
    writeFileSync(of.markerRecord, JSON.stringify(record));
    change(of);
    return labels(of.root);
  }
  const ownName = "baseline/idd-aw/deeplabv3plus_r50";

  test("because it is older: the inode was given again", async () => {
    const found = await withRecord(({ markerRecord }) => utimesSync(markerRecord, 1_700_000_000, 1_700_000_000));
    expect(found).toEqual({ [ownName]: "ACTIVE" });
  });

  requiresPrograms("root")("because a stranger wrote it", async () => {
    const found = await withRecord(({ marker, markerRecord }) => {
      // The marker stays the asker's own; its record is neither its owner's nor root's.
      chownSync(markerRecord, 65_534, 65_534);
      expect(statSync(marker).uid).toBe(0);
    });
    expect(found).toEqual({ [ownName]: "ACTIVE" });
  });

  requiresPrograms("root")("because a stranger wrote it into the lock file", async () => {
    const found = await withRecord(({ markerRecord, kernelLock, lockDir }) => {
      mkdirSync(lockDir, { recursive: true });
      renameSync(markerRecord, kernelLock);
      chownSync(kernelLock, 65_534, 65_534);
    });
    expect(found).toEqual({ [ownName]: "ACTIVE" });
  });
});

describe("a record that names when its marker was written", () => {
  const dayNs = 86_400_000_000_000n;

  /** A marker with the number of this process, and the record of a dead run that has the same number and inode. */
  async function besideMarker(timeOf: (markerNs: bigint) => bigint | undefined): Promise<string | undefined> {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, `${process.pid}\n`);
    const { ino, mtimeNs } = statSync(of.marker, { bigint: true });
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const dead = { hostname: hostname(), bootId, pid: process.pid, startTimeTicks: 5 };
    const record = foreignRecord(of, dead, Number(ino));
    const section = { ...record.trainlock, marker_time_ns: timeOf(mtimeNs)?.toString() };
    writeFileSync(of.markerRecord, JSON.stringify({ ...record, trainlock: section }));
    return (await labels(of.root))[of.name];
  }

  test.each([
    ["that it was restored from a backup of another day", (ns: bigint) => ns - dayNs, "ACTIVE"],
    ["to the second, as some servers have it", (ns: bigint) => ns - (ns % 1_000_000_000n), "STALE - PID not running"],
    ["not at all, as older ones", () => undefined, "STALE - PID not running"],
  ])("shows %s", async (_, timeOf, label) => {
    expect(await besideMarker(timeOf)).toBe(label);
  });

  /** As those do who keep their files from being purged. */
  function touchAll({ marker, markerRecord }: TestConfiguration): void {
    for (const path of [marker, markerRecord]) utimesSync(path, 1_700_000_000, 1_700_000_000);
  }

  test("goes on to describe a marker that was touched while its claim is held", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithLastingCommand([...of.args, "--check-every", "0.2s"]);
    const recorded = () => JSON.parse(readFileSync(of.markerRecord, "utf8")).trainlock.marker_time_ns;
    await until("its record", () => (existsSync(of.markerRecord) ? true : null));
    touchAll(of);
    await until("the new time", () => (BigInt(recorded()) === 1_700_000_000_000_000_000n ? true : null));
    await killWithCommand(holder);
    expect(await labels(of.root)).toEqual({ [of.name]: "STALE - PID not running" });
  });

  test("and a marker that was touched after its run was killed: dead, where a bare one of that number is, too", async () => {
    const of = configuration(await temporaryRoot());
    await killWithCommand(await holdWithLastingCommand(of.args));
    touchAll(of);
    expect(await labels(of.root)).toEqual({ [of.name]: "STALE - PID not running" });
    expect((await trainlock(["run", ...of.args, "--scheduler", "none", "--", "true"])).exitCode).toBe(0);
  });

  requiresPrograms("unshare --pid")(
    "and one whose number a bare marker's writer may have out of sight: unknown",
    async () => {
      const of = configuration(await temporaryRoot());
      await killWithCommand(await holdWithLastingCommand(of.args));
      touchAll(of);
      const inside = ["unshare", "--pid", "--fork", "--mount-proc", executable];
      const { exitCode } = await run([...inside, "check", ...of.args, "--scheduler", "none"]);
      expect(exitCode).toBe(1);
    },
  );

  test("proves the life of one that was touched after its wrapper was killed", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithLastingCommand(of.args);
    await until("its record", () => (existsSync(of.markerRecord) ? true : null));
    holder.kill("SIGKILL");
    await holder.finished;
    touchAll(of);
    expect(await labels(of.root)).toEqual({ [of.name]: "ACTIVE" });
  });
});

describe("PID 1 in a marker", () => {
  test("is no proof of life, nor of death: unknown, and cleared with --force alone", async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, "1\n");
    // Older than every container of this machine, so that none of their first processes can have written it.
    utimesSync(of.marker, 1_000_000_000, 1_000_000_000);
    expect(await labels(of.root)).toEqual({ [of.name]: "UNKNOWN - other container" });
    expect((await trainlock(["check", ...of.args, "--scheduler", "none"])).exitCode).toBe(1);
    await trainlock(["clear", "--root", of.root, "--no-dry-run", "--scheduler", "none"]);
    expect(existsSync(of.marker)).toBe(true);
    await trainlock(["clear", "--root", of.root, "--no-dry-run", "--force", "--scheduler", "none"]);
    expect(existsSync(of.marker)).toBe(false);
  });
});

test("a lock file that its holder made again: the record goes on to name the one that the command has inherited", async () => {
  const of = configuration(await temporaryRoot());
  await holdWithRun(of.args);
  const inherited = statSync(of.kernelLock).ino;
  rmSync(of.kernelLock);
  await until("the lock file to be there again", () => (existsSync(of.kernelLock) ? true : null));
  await until("its record", () => (readFileSync(of.kernelLock, "utf8").includes("}\n") ? true : null));
  expect(statSync(of.kernelLock).ino).not.toBe(inherited);
  expect(JSON.parse(readFileSync(of.kernelLock, "utf8")).trainlock.lock_inode).toBe(inherited);
});

describe("a reboot is believed of a claim that is certainly older", () => {
  const bootedAtMs = 1_900_000_000_000;
  test.each([
    ["written a day before the boot", bootedAtMs - 86_400_000, true],
    ["written within the hour before it", bootedAtMs - 600_000, false],
    ["written after it, by a copy of the host", bootedAtMs + 600_000, false],
    ["of no known time", null, false],
  ])("%s", (_, writtenAtMs, believed) => {
    expect(isFromBeforeBoot(writtenAtMs, bootedAtMs)).toBe(believed);
  });
});

test("a record's time is that of the file it was read from, not of an earlier claim's beside the marker", async () => {
  const of = configuration(await temporaryRoot());
  await killWithCommand(await holdWithLastingCommand(of.args));
  const record = recordIn(parseOwnerRecord(readFileSync(of.markerRecord)));
  const facts = { kind: "file", path: of.marker, lockPath: of.kernelLock, record } as const;
  utimesSync(of.markerRecord, 1_700_000_000, 1_700_000_000);
  utimesSync(of.kernelLock, 1_800_000_000, 1_800_000_000);
  expect(recordWrittenAtMs(facts)).toBe(1_700_000_000_000);
  // As a crash leaves it: the lock file speaks of the marker already, and beside it lies what was there before.
  const earlier = JSON.parse(readFileSync(of.markerRecord, "utf8"));
  earlier.trainlock.token = "0".repeat(32);
  writeFileSync(of.markerRecord, JSON.stringify(earlier));
  utimesSync(of.markerRecord, 1_700_000_000, 1_700_000_000);
  expect(recordWrittenAtMs(facts)).toBe(1_800_000_000_000);
  rmSync(of.markerRecord);
  expect(recordWrittenAtMs(facts)).toBe(1_800_000_000_000);
});

describe("an element of a job array is named as its scheduler spells it", () => {
  const job = (change: Partial<SchedulerJob>): SchedulerJob => ({
    kind: "lsf",
    jobId: "123",
    arrayIndex: "3",
    arrayJobId: null,
    cluster: null,
    startedAt: null,
    oneHostStep: null,
    otherHosts: null,
    restartCount: 0,
    submittedAt: null,
    ...change,
  });
  test.each([
    [job({}), "123[3]"],
    [job({ arrayIndex: null }), "123"],
    [job({ kind: "slurm", jobId: "4711", arrayJobId: "4700", arrayIndex: "12" }), "4700_12"],
    [job({ kind: "slurm", jobId: "4711", arrayIndex: null }), "4711"],
    [job({ kind: "sge" }), "123.3"],
    [job({ kind: "pbs", jobId: "123[3].server" }), "123[3].server"],
  ])("%j", (scheduler, spelled) => {
    const record = { jobId: scheduler.jobId, trainlock: { scheduler } } as unknown as OwnerRecord;
    expect(spelledJobId(record)).toBe(spelled);
  });
});
