import { expect, onTestFinished } from "vitest";
import { openEtcd } from "../../src/etcd/open-etcd.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { clientOf, listed, put } from "./client-for.ts";
import { passwords, sharedCluster } from "./cluster.ts";
import { watching } from "./watching.ts";

const cluster = sharedCluster({ auth: true });
const open = sharedCluster();
const etcdTest = requiresPrograms("etcd", "etcdctl");

etcdTest("a user may do under the store's prefix all that a lock needs", async () => {
  const etcd = clientOf(await cluster());
  const { lease } = await etcd.grant(60);
  const first = await put(etcd, "/trainlock/a");
  const watch = watching(etcd, "/trainlock/a", first);
  await expect.poll(() => watch.seen).toEqual([{ kind: "put", key: "/trainlock/a", revision: first }]);
  expect(await listed(etcd, "/trainlock/")).toEqual(["/trainlock/a"]);
  expect(await etcd.keepAlive(lease)).toBe(60);
  expect(await etcd.revoke(lease)).toBe(true);
});

etcdTest("outside the prefix permission is denied, for every kind of call", async () => {
  const etcd = clientOf(await cluster());
  const denied = {
    reason: "permission denied",
    code: "ERR_ETCD_PERMISSION_DENIED",
    hint: expect.stringMatching(/role/),
    mayHaveHappened: false,
  };
  await expect(put(etcd, "/other")).rejects.toMatchObject(denied);
  await expect(etcd.get("/other")).rejects.toMatchObject(denied);
  await expect(listed(etcd, "/")).rejects.toMatchObject(denied);
  await expect(watching(etcd, "/other", 0).ended).rejects.toMatchObject(denied);
});

etcdTest("a wrong password, an unknown user, and no user are told apart from a network that fails", async () => {
  const started = await cluster();
  const failed = (hint: RegExp) => ({
    reason: "authentication",
    hint: expect.stringMatching(hint),
    mayHaveHappened: false,
  });
  const wrong = clientOf(started, { password: "a guess" });
  await expect(wrong.get("/trainlock/a")).rejects.toMatchObject(failed(/TRAINLOCK_STORE_PASSWORD_FILE/));
  await expect(wrong.get("/trainlock/a")).rejects.not.toThrow(/a guess/);
  const unknown = clientOf(started, { user: "mallory" });
  await expect(unknown.get("/trainlock/a")).rejects.toMatchObject(failed(/TRAINLOCK_STORE_USER/));
  const nobody = clientOf(started, { user: null, password: null });
  await expect(nobody.get("/trainlock/a")).rejects.toMatchObject(failed(/wants a user/));
  await expect(watching(nobody, "/trainlock/a", 0).ended).rejects.toMatchObject({
    reason: expect.stringMatching(/authentication|permission denied/),
  });
});

etcdTest("another process's login is used, and where etcd does not know it there is a new one", async () => {
  const started = await cluster();
  const first = clientOf(started);
  await first.get("/trainlock/a");
  const open = (token: string | null) => {
    const client = openEtcd(started.address, { ...started.access, password: "a guess" }, token);
    onTestFinished(() => client.close());
    return client;
  };
  // The password is not asked for.
  await open(first.loginToken()).get("/trainlock/a");
  await expect(open("forgotten.1").get("/trainlock/a")).rejects.toMatchObject({ reason: "authentication" });
});

etcdTest("a login that etcd has forgotten is renewed, for calls and for watches", async () => {
  const started = await cluster();
  const etcd = clientOf(started);
  const first = await put(etcd, "/trainlock/b");
  // Simple tokens are kept in memory only.
  await started.restart(0);
  expect((await etcd.get("/trainlock/b")).entry?.modRevision).toBe(first);
  await started.restart(0);
  const watch = watching(etcd, "/trainlock/b", first);
  await expect.poll(() => watch.seen).toHaveLength(1);
});

etcdTest("a user is no hindrance where etcd knows no users, and needed once it does", async () => {
  const started = await open();
  const etcd = clientOf(started, { user: "alice", password: passwords.alice });
  await put(etcd, "/trainlock/c");
  await started.addUsers();
  await put(etcd, "/trainlock/c");
});
