import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { gather, localSources } from "../../src/evidence/gather.ts";
import type { Evidence } from "../../src/model/evidence.ts";
import type { LockFacts, MarkerFacts } from "../../src/model/lock-facts.ts";
import { deadPid } from "../support/process-state.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { madeRecord } from "./made-record.ts";

const died: Evidence = { source: "process", says: "dead", because: "PID not running", detail: "gone" };

/** A marker of a number that no process has. */
async function facts(change: Partial<LockFacts> = {}): Promise<LockFacts> {
  const path = join(await temporaryRoot(), "w", ".training_lock");
  mkdirSync(dirname(path));
  writeFileSync(path, `${deadPid}\n`);
  const { ino, dev, uid, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  const times = { modifiedNs: mtimeNs, changedNs: ctimeNs, readAtMs: performance.now() };
  const marker: MarkerFacts = {
    ...{ pid: deadPid, content: "pid", why: null, inode: ino, device: dev, uid: Number(uid) },
    ...times,
  };
  return {
    ...{ kind: "file", name: "s/d/m", path, weightsDir: dirname(path), lockPath: join(dirname(path), "none.lock") },
    ...{ kernelLock: { state: "absent" }, record: null, recordProblem: null, marker, pid: deadPid, startedAt: null },
    ...change,
  };
}

const details = async (change: Partial<LockFacts> = {}) =>
  (await gather(await facts(change), localSources)).map(({ detail }) => detail).join("\n");

test("a number counts by itself in a marker that no record describes, and nowhere else", async () => {
  const byItself = /process \d+|no process/;
  expect(await details()).toMatch(byItself);
  const record = { ...madeRecord(), pid: null };
  expect(await details({ record })).not.toMatch(byItself);
  expect(await details({ kind: "etcd" })).not.toMatch(byItself);
  expect(await details({ marker: null })).not.toMatch(byItself);
});

test("a link that leads nowhere, a lease, and a release each say so", async () => {
  const says = async (change: Partial<LockFacts>) =>
    (await gather(await facts({ marker: null, ...change }), localSources)).map((found) => [found.source, found.says]);
  expect(await says({})).toEqual([]);
  expect(await says({ leadsNowhere: "/w/link" })).toEqual([["mount", "unknown"]]);
  expect(await says({ kind: "etcd", leased: true })).toEqual([["lease", "alive"]]);
  expect(await says({ kind: "etcd", leased: false })).toEqual([["lease", "unknown"]]);
});

test("a source that fails is evidence of nothing, and takes nothing from the others", async () => {
  const fails = () => {
    throw new Error("no such call");
  };
  const found = await gather(await facts(), [fails, () => [died], async () => [died]]);
  expect(found).toEqual([
    { source: "record", says: "unknown", because: "remote process", detail: "a probe failed: no such call" },
    died,
    died,
  ]);
});
