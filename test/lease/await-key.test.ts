import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { awaitKey } from "../../src/stores/lease/await-key.ts";
import { clientOf, put } from "../etcd/client-for.ts";
import { sharedCluster } from "../etcd/cluster.ts";
import { requiresPrograms } from "../support/requirements.ts";

const cluster = sharedCluster();
const etcdTest = requiresPrograms("etcd", "etcdctl");

etcdTest("who waits does not give up because the store cannot be reached when it is time to ask again", async () => {
  const started = await cluster();
  const etcd = clientOf(started);
  const since = await put(etcd, "/held");
  started.pause(0);
  let isBack = false;
  const waited = awaitKey(etcd, "/held", since, new AbortController().signal, 100).then(() => isBack);
  await sleep(1500);
  isBack = true;
  started.resume(0);
  expect(await waited).toBe(true);
});
