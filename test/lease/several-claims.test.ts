import { expect, onTestFinished } from "vitest";
import { makeExamine } from "../../src/evidence/examine.ts";
import { type Configuration, parseConfiguration } from "../../src/model/configuration.ts";
import { defaultLayout } from "../../src/site/layout.ts";
import { claimKeys } from "../../src/stores/lease/lease-facts.ts";
import { LeaseSession } from "../../src/stores/lease/lease-session.ts";
import { leaseStore } from "../../src/stores/lease/lease-store.ts";
import type { HeldLock } from "../../src/stores/store.ts";
import { sleep } from "../../src/system/clock/sleep.ts";
import { clientOf } from "../etcd/client-for.ts";
import { sharedCluster } from "../etcd/cluster.ts";
import { keeperCommand } from "../support/keeper.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { etcdTest } from "./store.ts";

const cluster = sharedCluster();
const ttlMs = 5000;
/** Longer than a keeper without claims waits, and than a lease lasts that nobody renews. */
const patienceMs = ttlMs + 2500;
const named = (model: string): Configuration => parseConfiguration({ strategy: "s", dataset: "d", model });

/** One process's store, on a prefix of its own. */
async function program(command: readonly [string, ...string[]] = keeperCommand, lastsMs = ttlMs) {
  const started = await cluster();
  const root = await temporaryRoot();
  const layout = defaultLayout(root);
  const address = { ...started.address, prefix: `/trainlock${root}` };
  const client = clientOf(started);
  const notes: string[] = [];
  const open = () => {
    const session = new LeaseSession({
      address,
      access: started.access,
      ttlMs: lastsMs,
      guard: null,
      keeperCommand: command,
    });
    const onNote = (text: string) => void notes.push(text);
    return leaseStore({ layout, client, address, session, examine: makeExamine(), onNote });
  };
  const store = open();
  const held: HeldLock[] = [];
  onTestFinished(async () => {
    for (const lock of held) await lock.release();
  });
  const acquire = async (model: string): Promise<HeldLock> => {
    const acquired = await store.acquire(named(model), null);
    if (acquired.kind === "busy") throw new Error(`${model} is busy`);
    held.push(acquired.lock);
    return acquired.lock;
  };
  const entryOf = async (model: string) => (await client.get(claimKeys(address, layout, named(model)).lock)).entry;
  return { store, acquire, entryOf, notes, client, started, other: open() };
}

etcdTest("claims that are made at one time are under one lease, and last", async () => {
  const { acquire, entryOf, notes } = await program();
  const models = ["a", "b", "c", "d"];
  const locks = await Promise.all(models.map(acquire));
  await sleep(patienceMs);
  const entries = await Promise.all(models.map(entryOf));
  expect(new Set(entries.map((entry) => entry?.lease)).size).toBe(1);
  expect(entries.map((entry) => entry?.createRevision)).toEqual(locks.map(({ generation }) => generation));
  expect(notes).toEqual([]);
});

etcdTest("a claim made beside the release of the last one lasts", async () => {
  const { acquire, entryOf, notes } = await program();
  const first = await acquire("a");
  const [second] = await Promise.all([acquire("b"), first.release()]);
  await sleep(patienceMs);
  expect((await entryOf("b"))?.createRevision).toBe(second.generation);
  expect(await entryOf("a")).toBeNull();
  expect(notes).toEqual([]);
});

etcdTest("a claim made while the event loop has been busy lasts as long as those before it", async () => {
  const { acquire, entryOf, notes } = await program();
  const first = await acquire("a");
  const until = performance.now() + ttlMs * 0.7;
  while (performance.now() < until);
  const second = await acquire("b");
  await sleep(patienceMs);
  const entries = [await entryOf("a"), await entryOf("b")];
  expect(entries.map((entry) => entry?.createRevision)).toEqual([first.generation, second.generation]);
  expect(entries[0]?.lease).toBe(entries[1]?.lease);
  expect(notes).toEqual([]);
});

etcdTest("a key that was put under another lease by hand is taken back under the claim's", async () => {
  const { acquire, entryOf, client } = await program();
  const lock = await acquire("a");
  const entry = await entryOf("a");
  const { lease } = await client.grant(60);
  const moved = [{ put: entry?.key ?? "", value: entry?.value ?? Buffer.alloc(0), lease }];
  await client.transact({ if: [], then: moved, elseGet: [] });
  await lock.check();
  expect(await entryOf("a")).toMatchObject({ lease: entry?.lease, createRevision: lock.generation });
});

etcdTest("what could not be given back during an outage is not kept alive by the claims beside it", async () => {
  const { acquire, entryOf, started } = await program();
  const [first, second] = [await acquire("a"), await acquire("b")];
  started.pause(0);
  const released = first.release();
  await sleep(ttlMs / 2);
  started.resume(0);
  await released;
  await expect.poll(() => entryOf("a"), { timeout: 2 * ttlMs }).toBeNull();
  await second.assertHeld();
});

etcdTest("a keeper that is slow to start is waited for, the first and one that takes another's place", async () => {
  const slow = ["sh", "-c", 'sleep 2.5; exec "$@"', "sh", ...keeperCommand] as const;
  const { acquire, entryOf } = await program(slow, 2 * ttlMs);
  const lock = await acquire("a");
  const { pid } = await keeperOf(process.pid);
  process.kill(pid, "SIGKILL");
  await sleep(2 * ttlMs);
  expect(String(lock.lost.reason ?? "kept")).toBe("kept");
  expect((await entryOf("a"))?.createRevision).toBe(lock.generation);
});

etcdTest("the same program's second store is turned away, and gets the lock once it is free", async () => {
  const { acquire, other } = await program();
  const lock = await acquire("a");
  expect((await other.acquire(named("a"), null)).kind).toBe("busy");
  await lock.release();
  const again = await other.acquire(named("a"), null);
  expect(again.kind).toBe("held");
  if (again.kind === "held") await again.lock.release();
});

async function keeperOf(parent: number): Promise<{ pid: number }> {
  const { execFileSync } = await import("node:child_process");
  const listed = execFileSync("ps", ["-eo", "pid,ppid,comm"], { encoding: "utf8" });
  const line = listed.split("\n").find((each) => new RegExp(`^ *\\d+ +${parent} lease-keeper$`).test(each));
  return { pid: Number(line?.trim().split(" ")[0]) };
}
