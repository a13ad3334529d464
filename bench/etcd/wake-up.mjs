// How long after a release does a waiter have the lock, and does its command run? Of a lock that this process holds under a
// lease of its own: the release is a request whose answer is seen here.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { quantile } from "../measure.mjs";
import { trainlock } from "../programs.mjs";
import { start } from "../wake-up.mjs";
import { clientOf } from "./client.mjs";

const now = () => performance.timeOrigin + performance.now();

/** When the waiter's claim was seen, and its command began, after a release; milliseconds. */
async function once({ client, key, value, wait, env }) {
  const { lease } = await client.grant(60);
  const { revision } = await client.transact({
    if: [{ key, createRevision: 0 }],
    then: [{ put: key, value, lease }],
    elseGet: [],
  });
  const over = new AbortController();
  const claimed = (async () => {
    for await (const { kind } of client.watch(key, revision + 1, over.signal)) if (kind === "put") return now();
  })();
  const waiter = start(wait, env);
  await sleep(200);
  await client.transact({ if: [], then: [{ delete: key }], elseGet: [] });
  const released = now();
  const [, starts] = await waiter.line(/starts (\S+)/);
  const claim = (await claimed) - released;
  over.abort();
  await waiter.ended;
  await client.revoke(lease);
  return { claim, command: Number(starts) * 1000 - released };
}

/** What a run has at its key. This process's own would be that of an ancestor, for which no waiter waits. */
async function recordOfARun(cluster, client, prefix, args) {
  const held = ["run", "--quiet", "--store", cluster.url, ...args, "--", "cat"];
  const holder = spawn(trainlock, held, { env: cluster.env, stdio: ["pipe", "ignore", "inherit"] });
  const ended = new Promise((resolve) => holder.once("close", resolve));
  for (let tries = 0; tries < 1000; tries += 1) {
    const { value: page } = await client.list(`${prefix}/locks/`).next();
    if (page?.length > 0) {
      holder.stdin.end();
      await ended;
      return page[0];
    }
    await sleep(10);
  }
  throw new Error("the run did not take the lock");
}

/** How long each of the two took after the release, median and 99th percentile, milliseconds. */
export async function etcdWakeUps(cluster, root, rounds = 60) {
  mkdirSync(root, { recursive: true });
  const { client, prefix } = clientOf(cluster);
  const names = ["--strategy", "b", "--dataset", "d", "--model", "m"];
  const { key, value } = await recordOfARun(cluster, client, prefix, ["--root", root, ...names]);
  // bash's own clock: starting date(1) would take as long as what is measured. Without its start-up file, too.
  const command = ["bash", "--norc", "-c", "echo starts $EPOCHREALTIME"];
  const wait = [
    trainlock,
    "run",
    "--wait",
    "--quiet",
    "--store",
    cluster.url,
    "--root",
    root,
    ...names,
    "--",
    ...command,
  ];
  const times = { claim: [], command: [] };
  for (let round = -3; round < rounds; round += 1) {
    const { claim, command } = await once({ client, key, value, wait, env: cluster.env });
    if (round < 0) continue;
    times.claim.push(claim);
    times.command.push(command);
  }
  client.close();
  return times;
}

export async function printEtcdWakeUps(cluster, root) {
  console.log("\nFrom the answer to a holder's release, for `trainlock run --wait` on etcd");
  const { claim, command } = await etcdWakeUps(cluster, join(root, "wake-up"));
  for (const [what, times] of [
    ["the waiter's claim is made", claim],
    ["its command's first act", command],
  ]) {
    const figures = [0.5, 0.99].map((share) => quantile(times, share).toFixed(1).padStart(8));
    console.log(`  ${what.padEnd(36)} median ${figures[0]} ms   p99 ${figures[1]} ms`);
  }
}
