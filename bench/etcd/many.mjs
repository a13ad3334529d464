// 10,000 locks on etcd, held by 100 processes of the library: what holding them costs, and how long a list of them takes.
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { interleaved, median } from "../measure.mjs";
import { bun, trainlock } from "../programs.mjs";
import { printTable } from "../table.mjs";
import { start } from "../wake-up.mjs";
import { clientOf } from "./client.mjs";
import { callsAt } from "./cluster.mjs";
import { childrenOf, costOf, peakOf } from "./processes.mjs";

const program = fileURLToPath(new URL("holder.mjs", import.meta.url));
const processes = 100;
const locksEach = 100;
const startedAtOnce = 4;

async function keysOf(cluster) {
  const { client, prefix } = clientOf(cluster);
  let keys = 0;
  for await (const page of client.list(`${prefix}/locks/many`)) keys += page.length;
  client.close();
  return keys;
}

async function claimAll(cluster, root) {
  const holders = [];
  const lost = [];
  const one = async (n) => {
    const argv = [n % 2 === 0 ? process.execPath : bun, program, root, cluster.url, `farm${n}`, String(locksEach)];
    const holder = start(argv, cluster.env);
    holders.push(holder);
    holder.child.stdout.on("data", (text) => lost.push(...(/^lost.*$/gm.exec(text) ?? [])));
    await holder.line(/held/);
  };
  const lanes = Array.from({ length: startedAtOnce }, async (_, lane) => {
    for (let n = lane; n < processes; n += startedAtOnce) await one(n);
  });
  await Promise.all(lanes);
  return { holders, lost };
}

async function hold(cluster, { holders, lost }, seconds) {
  const pids = holders.map(({ child }) => child.pid);
  const keepers = pids.flatMap(childrenOf);
  const groups = { etcd: cluster.pids, programs: pids, keepers };
  const before = await callsAt(cluster);
  const costsBefore = Object.entries(groups).map(([name, of]) => [name, of, costOf(of).cpu]);
  const from = performance.now();
  await sleep(seconds * 1000);
  const elapsed = (performance.now() - from) / 1000;
  const after = await callsAt(cluster);
  const rate = (name) => ((after.get(name) ?? 0) - (before.get(name) ?? 0)) / elapsed;
  const all = [...after.keys()].map((name) => [name, rate(name)]).filter(([, perSecond]) => perSecond > 0.05);
  console.log(`  held for ${elapsed.toFixed(0)} s: ${await keysOf(cluster)} keys, ${lost.length} lost`);
  const named = all.map(([name, perSecond]) => `${name} ${perSecond.toFixed(1)}`).join(", ");
  console.log(`  requests at etcd per second: ${all.reduce((sum, [, n]) => sum + n, 0).toFixed(1)} (${named})`);
  for (const [name, of, cpu] of costsBefore) {
    const cost = costOf(of);
    const share = ((cost.cpu - cpu) / elapsed) * 100;
    const mb = `${(cost.resident / of.length).toFixed(0)} MB each (${(cost.proportional / of.length).toFixed(0)} shared out)`;
    console.log(`  ${of.length} ${name}: ${share.toFixed(1)} % of a core together, ${mb}`);
  }
}

/** Peak memory of one `trainlock list`, MB. */
async function listPeak(argv, env) {
  const child = spawn(argv[0], argv.slice(1), { env, stdio: "ignore" });
  let peak = 0;
  const looking = setInterval(() => {
    peak = Math.max(peak, peakOf(child.pid) ?? 0);
  }, 5);
  await new Promise((resolve) => child.on("exit", resolve));
  clearInterval(looking);
  return peak;
}

async function list(cluster, root) {
  const argv = [trainlock, "list", "--root", root, "--store", cluster.url];
  const { env } = cluster;
  const read = [];
  for (let round = -1; round < 7; round += 1) {
    const from = performance.now();
    await keysOf(cluster);
    if (round >= 0) read.push(performance.now() - from);
  }
  const commands = [
    { what: "trainlock list", argv, env },
    { what: "trainlock list --json", argv: [...argv, "--json"], env },
    { what: "etcdctl get --prefix", argv: ["etcdctl", "get", "--prefix", "/bench/locks/"], env },
  ];
  const results = interleaved(commands, { warmUps: 1, rounds: 9 });
  results.set("their keys read, in process", { median: median(read), quickest: Math.min(...read) });
  printTable(`List ${processes * locksEach} locks on etcd`, "ms", results, "their keys read, in process");
  console.log(`  peak memory of trainlock list: ${(await listPeak(argv, env)).toFixed(0)} MB`);
}

export async function printManyLocks(cluster, root, seconds) {
  console.log(
    `\n${processes * locksEach} locks held by ${processes} programs (library, half of them on Node, half on Bun)`,
  );
  const from = performance.now();
  const claimed = await claimAll(cluster, root);
  console.log(`  all claimed, programs started included: ${((performance.now() - from) / 1000).toFixed(1)} s`);
  try {
    await sleep(3000);
    await hold(cluster, claimed, seconds);
    await list(cluster, root);
  } finally {
    const before = performance.now();
    for (const { child } of claimed.holders) child.stdin.end();
    await Promise.all(claimed.holders.map(({ ended }) => ended));
    console.log(`  all given back, programs ended: ${((performance.now() - before) / 1000).toFixed(1)} s`);
    console.log(`  keys left: ${await keysOf(cluster)}`);
  }
}
