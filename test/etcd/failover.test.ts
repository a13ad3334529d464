import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { clientAt, clientOf, listed, put } from "./client-for.ts";
import { sharedCluster } from "./cluster.ts";
import { freePorts } from "./free-ports.ts";
import { watching } from "./watching.ts";

// In this order: the last tests leave less and less of it.
const cluster = sharedCluster({ members: 3 });
const etcdTest = requiresPrograms("etcd", "etcdctl");

etcdTest("an endpoint where nothing listens is passed over", async () => {
  const [port] = await freePorts(1);
  const etcd = clientAt([`127.0.0.1:${port}`, ...(await cluster()).endpoints]);
  expect(await put(etcd, "/a")).toBeGreaterThan(0);
});

etcdTest("a silent endpoint takes its share of the time and no more, and once", async () => {
  const { endpoints, pause, resume, leader } = await cluster();
  const silent = ((await leader()) + 1) % 3;
  const etcd = clientAt([...endpoints.slice(silent), ...endpoints.slice(0, silent)]);
  pause(silent);
  try {
    await put(etcd, "/b");
    // A third of the time would not be enough for a call that begins with the silent one.
    for (let nth = 0; nth < 5; nth += 1) await put(etcd, "/b");
    const alone = etcd.at(endpoints[silent] ?? "").get("/b", { timeoutMs: 300 });
    await expect(alone).rejects.toMatchObject({
      reason: "timeout",
      endpoint: endpoints[silent],
      mayHaveHappened: true,
    });
  } finally {
    resume(silent);
  }
});

etcdTest("every claim is made, and made once, while the leader is killed", async () => {
  const started = await cluster();
  const { kill, restart, leader } = started;
  const etcd = clientOf(started);
  const leading = await leader();
  const killed = sleep(100).then(() => kill(leading));
  const claims = Array.from({ length: 60 }, (_, nth) => `/c/${nth}`);
  for (const key of claims) {
    const mine = Buffer.from(`mine ${key}`);
    const then = [{ put: key, value: mine, lease: null }];
    const limits = { timeoutMs: 10_000 };
    const claim = await etcd.transact({ if: [{ key, createRevision: 0 }], then, elseGet: [key] }, limits);
    // Sent once more after it had been carried out: then it is found, and recognised.
    if (!claim.done) expect(claim.found[0]?.value).toEqual(mine);
    await sleep(3);
  }
  await killed;
  expect(await listed(etcd, "/c/")).toEqual(claims.sort());
  await restart(leading);
});

etcdTest("a lease goes on under the next leader", async () => {
  const started = await cluster();
  const { kill, restart, leader } = started;
  const etcd = clientOf(started);
  const { lease } = await etcd.grant(60);
  const leading = await leader();
  await kill(leading);
  expect(await etcd.keepAlive(lease, { timeoutMs: 15_000 })).toBe(60);
  await restart(leading);
  expect(await etcd.revoke(lease)).toBe(true);
});

etcdTest("without most members nothing is promised, and the cause is said", async () => {
  const started = await cluster();
  const { endpoints, kill, restart } = started;
  const etcd = clientOf(started);
  const { lease } = await etcd.grant(60);
  const survivor = etcd.at(endpoints[0] ?? "");
  const watch = watching(survivor, "/d", await put(etcd, "/d"));
  await Promise.all([kill(1), kill(2)]);
  await expect(watch.ended).rejects.toMatchObject({ reason: "no leader", endpoint: endpoints[0] });
  const limits = { timeoutMs: 400 };
  const noLeader = { reason: "no leader", code: "ERR_ETCD_NO_LEADER", hint: expect.stringMatching(/members/) };
  await expect(etcd.get("/d", limits)).rejects.toMatchObject(noLeader);
  await expect(etcd.keepAlive(lease, limits)).rejects.toMatchObject(noLeader);
  await expect(etcd.grant(60, limits)).rejects.toMatchObject(noLeader);
  const transaction = { if: [], then: [{ delete: "/d" }], elseGet: [] };
  await expect(etcd.transact(transaction, limits)).rejects.toMatchObject({ ...noLeader, mayHaveHappened: false });
  expect(await etcd.status(endpoints[0] ?? "")).toMatchObject({ leader: null });
  await restart(1);
  expect((await etcd.get("/d", { timeoutMs: 10_000 })).entry).not.toBeNull();
});
