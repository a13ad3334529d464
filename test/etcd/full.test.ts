import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { clientAt, clientOf, put } from "./client-for.ts";
import { startCluster } from "./cluster.ts";
import { freePorts } from "./free-ports.ts";
import { startMember } from "./member.ts";

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

etcdTest("an etcd whose members differ takes no claim, and says what to do", async () => {
  const cluster = await startCluster();
  const etcd = clientOf(cluster);
  const { memberId } = await etcd.status(cluster.endpoints[0] ?? "");
  const body = JSON.stringify({ action: "ACTIVATE", memberID: memberId, alarm: "CORRUPT" });
  await fetch(`http://${cluster.endpoints[0]}/v3/maintenance/alarm`, { method: "POST", body });
  await expect(etcd.grant(60)).rejects.toMatchObject({
    code: "ERR_ETCD_CORRUPT",
    hint: expect.stringMatching(/hashkv/),
    transient: false,
  });
  const { stdout } = await trainlock(["doctor", "--root", await temporaryRoot()], {
    env: { TRAINLOCK_STORE: cluster.url },
  });
  expect(stdout).toMatch(/^FAULT +etcd alarms .*CORRUPT\n.*\n.*hashkv/m);
  expect(stdout).not.toContain("defrag");
});

etcdTest("a member that has no vote yet is passed over, and alone is named as that at once", async () => {
  const [cluster, [client, peer]] = [await startCluster(), await freePorts(2)];
  const [url, peerUrl] = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`];
  const members = await cluster.etcdctl("member", "add", "learner", "--learner", `--peer-urls=${peerUrl}`);
  const names = /ETCD_INITIAL_CLUSTER="(.*)"/.exec(members)?.[1] ?? "";
  const learner = await startMember(
    [
      ...["etcd", "--name=learner", `--data-dir=${join(cluster.folder, "learner")}`, "--logger=zap"],
      ...[`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`, `--listen-peer-urls=${peerUrl}`],
      ...[`--initial-advertise-peer-urls=${peerUrl}`, `--initial-cluster=${names}`, "--initial-cluster-state=existing"],
      ...[`--initial-cluster-token=${cluster.folder}`, "--log-level=warn"],
    ],
    join(cluster.folder, "log-learner"),
  );
  onTestFinished(() => learner.kill());
  const endpoint = `127.0.0.1:${client}`;
  await until(
    "the learner to answer",
    () =>
      clientAt([endpoint])
        .status(endpoint)
        .catch(() => null),
    15_000,
  );
  expect(await put(clientAt([endpoint, ...cluster.endpoints]), "/a")).toBeGreaterThan(0);
  await expect(put(clientAt([endpoint]), "/a")).rejects.toMatchObject({
    code: "ERR_ETCD_LEARNER",
    reason: "unreachable",
    hint: expect.stringMatching(/promote/),
    mayHaveHappened: false,
  });
});
