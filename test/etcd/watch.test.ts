import { expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { until } from "../support/until.ts";
import { clientOf, put } from "./client-for.ts";
import { sharedCluster, startCluster } from "./cluster.ts";
import { watching } from "./watching.ts";

const cluster = sharedCluster();
const etcdTest = requiresPrograms("etcd", "etcdctl");

etcdTest("a watch tells what happened since a revision, and then what happens, to this key alone", async () => {
  const etcd = clientOf(await cluster());
  const first = await put(etcd, "/w/a");
  await put(etcd, "/w/ab");
  const watch = watching(etcd, "/w/a", first);
  await until("the first put", () => (watch.seen.length === 1 ? true : null));
  await etcd.transact({ if: [], then: [{ delete: "/w/a" }], elseGet: [] });
  await put(etcd, "/w/a", "again");
  await until("all events", () => (watch.seen.length === 3 ? true : null));
  expect(watch.seen).toEqual([
    { kind: "put", key: "/w/a", revision: first },
    { kind: "delete", key: "/w/a", revision: first + 2 },
    { kind: "put", key: "/w/a", revision: first + 3 },
  ]);
  watch.abort();
  await watch.ended;
});

etcdTest("a watch sees a key go with its lease", async () => {
  const etcd = clientOf(await cluster());
  const { lease } = await etcd.grant(60);
  const made = await etcd.transact({ if: [], then: [{ put: "/w/l", value: Buffer.alloc(0), lease }], elseGet: [] });
  const watch = watching(etcd, "/w/l", made.revision + 1);
  await etcd.revoke(lease);
  await until("the end of the key", () => (watch.seen[0]?.kind === "delete" ? true : null));
});

etcdTest("a watch from a revision that is forgotten says so, and ends", async () => {
  const started = await cluster();
  const etcd = clientOf(started);
  const first = await put(etcd, "/w/c");
  const last = await put(etcd, "/w/c");
  await started.etcdctl("compaction", String(last));
  const watch = watching(etcd, "/w/c", first);
  await watch.ended;
  expect(watch.seen).toEqual([{ kind: "compacted", revision: last }]);
});

etcdTest("an aborted watch ends in silence, before it began and while it is silent", async () => {
  const etcd = clientOf(await cluster());
  const early = watching(etcd, "/w/n", 0);
  early.abort();
  await early.ended;
  const late = watching(etcd, "/w/n", await put(etcd, "/w/n"));
  await until("the watch to be there", () => (late.seen.length > 0 ? true : null));
  late.abort();
  await late.ended;
});

etcdTest("a watch of a member that is killed, or frozen, ends with an error", async () => {
  const started = await startCluster();
  const etcd = clientOf(started);
  const watch = watching(etcd, "/w/d", await put(etcd, "/w/d"));
  await until("the watch to be there", () => (watch.seen.length > 0 ? true : null));
  await started.kill(0);
  await expect(watch.ended).rejects.toMatchObject({ reason: "unreachable", endpoint: started.endpoints[0] });
  await started.restart(0);
  const frozen = watching(etcd, "/w/d", await put(etcd, "/w/d"));
  await until("the second watch to be there", () => (frozen.seen.length > 0 ? true : null));
  started.pause(0);
  await expect(frozen.ended).rejects.toMatchObject({ reason: "timeout", endpoint: started.endpoints[0] });
  started.resume(0);
});
