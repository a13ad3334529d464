// Many processes want few locks: how many claims and releases a second, beside `etcdctl lock` doing the same.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { bun, trainlock } from "../programs.mjs";
import { start } from "../wake-up.mjs";
import { callsAt } from "./cluster.mjs";

const program = fileURLToPath(new URL("contender.mjs", import.meta.url));
const names = 5;

async function requestsOf(cluster) {
  return [...(await callsAt(cluster)).values()].reduce((sum, calls) => sum + calls, 0);
}

function print(what, claims, ms, requests) {
  const figures = `${claims} claims in ${(ms / 1000).toFixed(1)} s, ${((claims / ms) * 1000).toFixed(0)} per second`;
  console.log(`  ${what.padEnd(58)} ${figures}, ${(requests / claims).toFixed(1)} requests each`);
}

/** Programs that are up already, each with its keeper once it has had a lock. */
async function inPrograms(cluster, root, processes, rounds) {
  const argv = [program, root, cluster.url, String(names), String(rounds)];
  const programs = Array.from({ length: processes }, (_, n) =>
    start([n % 2 ? bun : process.execPath, ...argv], cluster.env),
  );
  await Promise.all(programs.map(({ line }) => line(/ready/)));
  const before = await requestsOf(cluster);
  const from = performance.now();
  for (const { child } of programs) child.stdin.write("go\n");
  const ends = await Promise.all(programs.map(({ line }) => line(/done, (\d+) failed/)));
  const ms = performance.now() - from;
  await Promise.all(programs.map(({ ended }) => ended));
  const failed = ends.reduce((sum, [, number]) => sum + Number(number), 0);
  const made = processes * rounds - failed;
  print(
    `library, ${processes} programs, ${names} names, ${failed} failed`,
    made,
    ms,
    (await requestsOf(cluster)) - before,
  );
}

/** A process a claim, so many at once. */
async function inCommands(cluster, what, atOnce, rounds, argv) {
  const before = await requestsOf(cluster);
  const from = performance.now();
  const lanes = Array.from({ length: atOnce }, async (_, lane) => {
    for (let round = 0; round < rounds; round += 1) {
      const [file, ...args] = argv((lane + round) % names);
      const child = spawn(file, args, { env: cluster.env, stdio: "ignore" });
      const status = await new Promise((resolve) => child.on("exit", resolve));
      if (status !== 0) throw new Error(`${what}: exit ${status}`);
    }
  });
  await Promise.all(lanes);
  print(
    `${what}, ${atOnce} at once, ${names} names`,
    atOnce * rounds,
    performance.now() - from,
    (await requestsOf(cluster)) - before,
  );
}

export async function printContention(cluster, root) {
  console.log("\nMany want few: claims and releases, all in contention");
  await inPrograms(cluster, root, 100, 10);
  const named = (n) => ["--strategy", "contended", "--dataset", "command", "--model", `model${n}`];
  const run = (n) => [
    trainlock,
    "run",
    "--wait",
    "--quiet",
    "--root",
    root,
    "--store",
    cluster.url,
    ...named(n),
    "--",
    "true",
  ];
  await inCommands(cluster, "trainlock run --wait -- true (processes)", 20, 10, run);
  await inCommands(cluster, "etcdctl lock NAME true (processes)", 20, 10, (n) => [
    "etcdctl",
    "lock",
    `contended${n}`,
    "true",
  ]);
}
