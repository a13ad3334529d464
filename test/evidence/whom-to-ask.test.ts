import { mkdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { ownerOf } from "../../src/evidence/remote/owner.ts";
import type { LockFacts, MarkerFacts } from "../../src/model/lock-facts.ts";
import { recordIn } from "../../src/model/owner-record.ts";
import { parseOwnerRecord } from "../../src/model/parse-owner-record.ts";
import { configuration } from "../support/configuration.ts";
import { foreignRecord } from "../support/foreign-lock.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const token = "0123456789abcdef0123456789abcdef";
const slurm = { kind: "slurm", job_id: "7", array_index: "3", cluster: "a", restart_count: 2 };

interface Written {
  /** Of the whole record; null: there is none. */
  readonly record?: Readonly<Record<string, unknown>> | null;
  readonly section?: Readonly<Record<string, unknown>> | null;
  readonly facts?: Partial<LockFacts>;
  readonly marker?: Partial<MarkerFacts>;
  readonly writtenAt?: number;
}

/** What is asked about a kernel lock whose file has that record. */
async function asked({ record = {}, section = {}, facts = {}, writtenAt = 1_900_000_000 }: Written) {
  const of = configuration(await temporaryRoot());
  mkdirSync(of.lockDir);
  const whole = foreignRecord(of, { hostname: "node01", pid: 42, scheduler: slurm }, null);
  const trainlock = section === null ? undefined : { ...whole.trainlock, lock_inode: 70, ...section };
  const text = JSON.stringify({ ...whole, trainlock, ...record });
  writeFileSync(of.kernelLock, text);
  utimesSync(of.kernelLock, writtenAt, writtenAt);
  const read = recordIn(parseOwnerRecord(Buffer.from(text)));
  if (read === null) throw new Error("no record");
  return ownerOf({
    ...{ kind: "fcntl", name: of.name, path: of.kernelLock, lockPath: of.kernelLock, weightsDir: of.weightsDir },
    ...{ kernelLock: { state: "free" }, record: record === null ? null : read, recordProblem: null, marker: null },
    ...{ pid: 42, startedAt: null },
    ...facts,
  });
}

async function ofMarker(change: Partial<MarkerFacts> = {}, facts: Partial<LockFacts> = {}) {
  const path = join(await temporaryRoot(), "w", ".training_lock");
  mkdirSync(dirname(path));
  writeFileSync(path, "42\n");
  const { ino, dev } = statSync(path, { bigint: true });
  const times = { modifiedNs: 1_900_000_000_000_000_000n, changedNs: 1_900_000_060_000_000_000n, readAtMs: 0 };
  const marker: MarkerFacts = {
    ...{ pid: 42, content: "pid", why: null, inode: ino, device: dev, uid: 1000 },
    ...times,
    ...change,
  };
  return ownerOf({
    ...{ kind: "file", name: "s/d/m", path, lockPath: `${path}.lock`, weightsDir: dirname(path), startedAt: null },
    ...{ kernelLock: { state: "absent" }, record: null, recordProblem: null, marker, pid: 42 },
    ...facts,
  });
}

describe("of a marker that no record describes", () => {
  test("hosts are asked for its number, of its owner, by its times", async () => {
    expect(await ofMarker()).toMatchObject({
      process: { kind: "bare", host: null, pid: 42, uid: 1000, since: 1_900_000_000, changedAt: 1_900_000_060 },
      job: null,
    });
    expect(await ofMarker({ pid: null, content: "empty" })).toMatchObject({ process: { pid: null } });
    const setBack = { modifiedNs: 1_900_000_060_000_000_000n, changedNs: 1_900_000_000_000_000_000n };
    expect(await ofMarker(setBack)).toMatchObject({ process: { since: 1_900_000_060, changedAt: 1_900_000_060 } });
  });
  test("nobody is asked about bytes, nor about what is no marker", async () => {
    const nobody = { process: null, job: null };
    expect(await ofMarker({ content: "foreign", why: "two lines", pid: null })).toEqual(nobody);
    expect(await ofMarker({}, { marker: null })).toEqual(nobody);
    expect(await ofMarker({}, { kind: "fcntl" })).toEqual(nobody);
  });
});

describe("of a record", () => {
  test("its host is asked for its process, if that is the name of a host", async () => {
    expect((await asked({})).process).toMatchObject({ kind: "recorded", host: "node01", pid: 42, user: "root" });
    for (const hostname of [null, "a b", "-oProxyCommand=x", ""])
      expect([hostname, (await asked({ record: { hostname } })).process]).toEqual([hostname, null]);
    expect((await asked({ record: { pid: null } })).process).toBeNull();
  });
  test("a user that is no user's name is not asked for", async () => {
    for (const user of [null, "a;b", "-x"])
      expect((await asked({ record: { user } })).process).toMatchObject({ kind: "recorded", user: null });
  });
  test("without a boot it is a number on that host, from the later of the two times", async () => {
    const said = "2026-01-12T16:49:29.000000";
    const saidAt = new Date(said).getTime() / 1000;
    const old = (writtenAt: number, acquiredAt: string | null = said) =>
      asked({ section: null, record: { acquired_at: acquiredAt }, writtenAt });
    expect((await old(saidAt + 3600)).process).toMatchObject({ kind: "bare", host: "node01", since: saidAt + 3600 });
    expect((await old(saidAt - 3600)).process).toMatchObject({
      kind: "bare",
      user: "root",
      since: saidAt,
      marker: null,
    });
    expect((await old(saidAt, "yesterday")).process).toBeNull();
    expect((await asked({ section: { boot_id: null } })).process).toMatchObject({ kind: "bare" });
  });
  test("without a boot the name that each host has for itself is no host's", async () => {
    const named = (hostname: string, section: Readonly<Record<string, unknown>> | null) =>
      asked({ section, record: { hostname } });
    for (const hostname of ["localhost", "LOCALHOST", "localhost4", "localhost.localdomain", "localhost6.localdomain6"])
      expect([hostname, (await named(hostname, null)).process]).toEqual([hostname, null]);
    for (const hostname of ["localhosts", "localhost-7", "my.localhost"])
      expect((await named(hostname, null)).process).toMatchObject({ kind: "bare", host: hostname });
    expect((await named("localhost", {})).process).toMatchObject({ kind: "recorded" });
  });
  test("its lock is tried on its host where it is free here, is a file, and is that claim's still", async () => {
    const lock = async (written: Written) => {
      const { process } = await asked(written);
      return process?.kind === "recorded" ? (process.lock?.inode ?? null) : "none";
    };
    expect(await lock({})).toBe(70n);
    for (const state of ["held", "absent", "none"] as const)
      expect([state, await lock({ facts: { kernelLock: { state } } })]).toEqual([state, null]);
    expect(await lock({ section: { lock_inode: 0 } })).toBeNull();
    expect(await lock({ section: { lock_inode: null } })).toBeNull();
    const elsewhere = await temporaryRoot();
    const other = join(elsewhere, "other.lock");
    expect(await lock({ facts: { lockPath: other } })).toBe(70n);
    const anothers = foreignRecord(configuration(elsewhere), { hostname: "node02", pid: 43 }, null);
    writeFileSync(other, JSON.stringify({ ...anothers, trainlock: { ...anothers.trainlock, token: "f".repeat(32) } }));
    expect(await lock({ facts: { lockPath: other } })).toBeNull();
  });
  test("what its wrapper has noted of its tree is asked for, if it is of that claim and boot", async () => {
    const of = configuration(await temporaryRoot());
    mkdirSync(of.weightsDir, { recursive: true });
    const { boot_id, pid_namespace } = foreignRecord(of, { hostname: "x", pid: 1 }, null).trainlock;
    const noted = async (section: Written["section"] = {}, weightsDir: string | null = of.weightsDir) => {
      const { process } = await asked({ section, facts: { weightsDir } });
      return process?.kind === "recorded" ? process.noted.map(({ pid }) => pid) : null;
    };
    expect(await noted()).toEqual([]);
    const processes = [{ pid: 900, start_time_ticks: 77 }];
    writeFileSync(
      join(of.weightsDir, ".training_lock.tree"),
      JSON.stringify({ token, boot_id, pid_namespace, processes }),
    );
    expect(await noted()).toEqual([900]);
    expect(await noted({ token: "f".repeat(32) })).toEqual([]);
    expect(await noted({ token: null })).toEqual([]);
    expect(await noted({ boot_id: "33333333-3333-4333-8333-333333333333" })).toEqual([]);
    // Where it trains is in the record, too.
    expect(await noted({ weights_dir: of.weightsDir }, null)).toEqual([900]);
    expect(await noted({ weights_dir: null }, null)).toEqual([]);
  });
  test("its scheduler is asked for its job, by all that the record says of it", async () => {
    expect((await asked({})).job).toMatchObject({
      ...{ kind: "slurm", id: "7", arrayIndex: "3", cluster: "a", restartCount: 2, isOfOneHost: false },
      ...{ user: "root", host: "node01" },
    });
    const old = (jobId: string | null) => asked({ section: null, record: { job_id: jobId } });
    expect((await old("4711")).job).toMatchObject({ kind: null, id: "4711", restartCount: null });
    for (const name of ["local", "unknown", "", null]) expect([name, (await old(name)).job]).toEqual([name, null]);
  });
});
