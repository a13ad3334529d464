import { expect } from "vitest";
import type { Compare } from "../../src/etcd/client.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { clientOf, listed, put } from "./client-for.ts";
import { sharedCluster } from "./cluster.ts";

const cluster = sharedCluster();
const etcdTest = requiresPrograms("etcd", "etcdctl");

const client = async () => clientOf(await cluster());

etcdTest("a key is made once, and who comes second reads it instead", async () => {
  const etcd = await client();
  const { lease } = await etcd.grant(30);
  const claim = (value: string) =>
    etcd.transact({
      if: [{ key: "/a/once", createRevision: 0 }],
      then: [{ put: "/a/once", value: Buffer.from(value), lease }],
      elseGet: ["/a/once", "/a/none"],
    });
  const first = await claim("first");
  expect(first.done).toBe(true);
  const second = await claim("second");
  if (second.done) throw new Error("made twice");
  const { revision } = first;
  expect(second.found).toEqual([
    { key: "/a/once", value: Buffer.from("first"), createRevision: revision, modRevision: revision, lease },
    null,
  ]);
});

etcdTest("a transaction that requires an older state changes nothing", async () => {
  const etcd = await client();
  const change = (value: string, ...requirements: readonly Compare[]) =>
    etcd.transact({
      if: requirements,
      then: [{ put: "/b", value: Buffer.from(value), lease: null }],
      elseGet: ["/b"],
    });
  const { revision } = await change("1");
  expect((await change("2", { key: "/b", modRevision: revision })).done).toBe(true);
  expect((await change("3", { key: "/b", modRevision: revision })).done).toBe(false);
  const { entry } = await etcd.get("/b");
  expect(entry).toMatchObject({
    value: Buffer.from("2"),
    createRevision: revision,
    modRevision: revision + 1,
    lease: null,
  });
  await etcd.transact({ if: [{ key: "/b", createRevision: revision }], then: [{ delete: "/b" }], elseGet: [] });
  expect((await etcd.get("/b")).entry).toBeNull();
});

etcdTest("values are bytes, whatever they are, and keys are text of any language", async () => {
  const etcd = await client();
  const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const key = "/c/\u00e9\u{1f512}";
  await put(etcd, key, value);
  expect((await etcd.get(key)).entry).toMatchObject({ key, value });
});

etcdTest("a lease lives as long as it is renewed, and takes its keys with it", async () => {
  const etcd = await client();
  const { lease, ttlSeconds } = await etcd.grant(60);
  expect(lease).toMatch(/^[1-9][0-9]{0,18}$/);
  expect(ttlSeconds).toBe(60);
  expect(await etcd.keepAlive(lease)).toBe(60);
  await etcd.transact({ if: [], then: [{ put: "/d", value: Buffer.from(""), lease }], elseGet: [] });
  expect(await etcd.revoke(lease)).toBe(true);
  expect((await etcd.get("/d")).entry).toBeNull();
  expect(await etcd.revoke(lease)).toBe(false);
  expect(await etcd.keepAlive(lease)).toBe(0);
});

etcdTest("a key cannot be put under a lease that is gone", async () => {
  const etcd = await client();
  const late = etcd.transact({ if: [], then: [{ put: "/e", value: Buffer.from(""), lease: "77" }], elseGet: [] });
  await expect(late).rejects.toMatchObject({ code: "ERR_ETCD_LEASE_NOT_FOUND", mayHaveHappened: false });
});

etcdTest("a list is in order and of one moment, whatever is put while it is read", async () => {
  const etcd = await client();
  const keys = Array.from({ length: 1050 }, (_, nth) => `/f/${String(nth).padStart(4, "0")}`);
  const toPut = (key: string) => ({ put: key, value: Buffer.from(key), lease: null });
  for (let from = 0; from < keys.length; from += 100) {
    await etcd.transact({ if: [], then: keys.slice(from, from + 100).map(toPut), elseGet: [] });
  }
  await etcd.transact({ if: [], then: [toPut("/f0"), toPut("/e9")], elseGet: [] });
  const found: string[] = [];
  let pages = 0;
  for await (const page of etcd.list("/f/")) {
    pages += 1;
    found.push(...page.map(({ key }) => key));
    await etcd.transact({ if: [], then: [toPut("/f/zzzz"), { delete: "/f/1049" }], elseGet: [] });
  }
  expect(found).toEqual(keys);
  expect(pages).toBe(2);
});

etcdTest("a list of values too large for a page comes in smaller ones", async () => {
  const etcd = await client();
  const value = Buffer.alloc(1_000_000, "x");
  for (let nth = 10; nth < 30; nth += 1) await put(etcd, `/large/${nth}`, value);
  expect(await listed(etcd, "/large/")).toHaveLength(20);
});

etcdTest("status and alarms say how a member is", async () => {
  const etcd = await client();
  const [endpoint = ""] = etcd.endpoints;
  const status = await etcd.status(endpoint);
  expect(status).toMatchObject({ endpoint, version: expect.stringMatching(/^3\.\d+\.\d+/), leader: status.memberId });
  expect(status.databaseBytes).toBeGreaterThan(0);
  expect(await etcd.alarms()).toEqual([]);
});

etcdTest("a call ends with the reason of its signal", async () => {
  const etcd = await client();
  const reason = new Error("enough");
  await expect(etcd.get("/g", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const control = new AbortController();
  const call = etcd.get("/g", { signal: control.signal });
  control.abort(reason);
  await expect(call).rejects.toBe(reason);
});
