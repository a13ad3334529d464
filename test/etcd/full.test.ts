import { expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { clientOf, put } from "./client-for.ts";
import { startCluster } from "./cluster.ts";

const etcdTest = requiresPrograms("etcd", "etcdctl");

etcdTest("an etcd that is full takes no claim, says why, and lets go of what is held", async () => {
  const cluster = await startCluster({ args: ["--quota-backend-bytes", String(4 * 2 ** 20)] });
  const etcd = clientOf(cluster);
  const { lease } = await etcd.grant(60);
  const held = { put: "/held", value: Buffer.from("x"), lease };
  await etcd.transact({ if: [], then: [held], elseGet: [] });
  const full = {
    reason: "no space",
    code: "ERR_ETCD_NO_SPACE",
    hint: expect.stringMatching(/alarm disarm/),
    mayHaveHappened: false,
  };
  const fill = async () => {
    for (let nth = 0; nth < 100; nth += 1) await put(etcd, `/fill/${nth}`, Buffer.alloc(500_000));
  };
  await expect(fill()).rejects.toMatchObject(full);
  await expect(etcd.grant(60)).rejects.toMatchObject(full);
  expect(await etcd.alarms()).toEqual([{ memberId: expect.stringMatching(/^\d+$/), kind: "NOSPACE" }]);
  expect((await etcd.get("/held")).entry).not.toBeNull();
  expect(await etcd.keepAlive(lease)).toBe(60);
  expect(await etcd.revoke(lease)).toBe(true);
  expect((await etcd.get("/held")).entry).toBeNull();
});
