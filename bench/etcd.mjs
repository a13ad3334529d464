// Locks on etcd: a real cluster of three members on loopback, ended whatever happens. Run by bench/run.mjs; alone, with how
// long 10,000 locks are held: node bench/etcd.mjs [SECONDS]
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startCluster } from "./etcd/cluster.mjs";
import { printContention } from "./etcd/contention.mjs";
import { printManyLocks } from "./etcd/many.mjs";
import { printEtcdWakeUps } from "./etcd/wake-up.mjs";
import { interleaved, median } from "./measure.mjs";
import { bun, trainlock } from "./programs.mjs";
import { printTable } from "./table.mjs";

const inProcess = fileURLToPath(new URL("etcd/in-process.mjs", import.meta.url));
const loops = 200;
const rounds = 40;

/** Three processes a runtime, in turns. */
function printInProcess({ url }, root) {
  const runtimes = { Node: process.execPath, Bun: bun };
  const turns = { Node: [], Bun: [] };
  for (let turn = 0; turn < 3; turn += 1) {
    for (const [name, file] of Object.entries(runtimes)) {
      const said = execFileSync(file, [inProcess, root, url, String(loops)], { encoding: "utf8" });
      turns[name].push(JSON.parse(said));
    }
  }
  const names = {
    claim: "claim (3 round trips)",
    release: "release (1)",
    "claim beside": "claim beside another (2)",
    "release beside": "release beside another (1)",
    read: "linearizable read, warm",
    transaction: "transaction that writes, warm",
  };
  for (const [runtime, results] of Object.entries(turns)) {
    const rows = Object.entries(names).map(([what, shown]) => {
      const all = results.map((result) => new Map(result.results).get(what));
      const quickest = Math.min(...all.map((one) => one.quickest));
      return [shown, { median: median(all.map((one) => one.median)), quickest }];
    });
    const title = `On etcd in process, ${runtime} (3 × ${loops} in turns)`;
    printTable(title, "ms", new Map(rows), names.transaction);
    const first = median(results.map((result) => result.first)).toFixed(0);
    console.log(`  the first claim of a process and its release, with the start of its keeper: ${first} ms`);
  }
}

function printProcesses({ url, env }, root) {
  const of = ["--root", root, "--strategy", "baseline", "--dataset", "IDD-AW", "--model", "deeplabv3plus_r50"];
  const store = ["--store", url];
  const inside = { ...env, TRAINLOCK_STORE: url };
  const version = { what: "trainlock --version", argv: [trainlock, "--version"] };
  const command = (what, argv, more = {}) => ({ what, argv, env, ...more });
  const commands = [
    command("trainlock run -- true", [trainlock, "run", ...store, ...of, "--", "true"]),
    command("trainlock check", [trainlock, "check", ...store, ...of]),
    // Of a claim that was given back: the same request as for one that is held.
    command("trainlock held", [trainlock, "held", ...store, ...of, "--generation", "1"], { exitCode: 1 }),
    command("trainlock list (no locks)", [trainlock, "list", ...store, "--root", root], { env: inside }),
    command("etcdctl lock NAME true", ["etcdctl", "lock", "bench", "true"]),
    command("etcdctl get KEY", ["etcdctl", "get", "/bench/bench"]),
    version,
  ];
  const results = interleaved(commands, { rounds });
  printTable("On etcd, a process from start to end (a process has no warm connection)", "ms", results, version.what);
}

export async function printEtcd(seconds = 30) {
  if (spawnSync("etcdctl", ["version"]).status !== 0 || spawnSync("etcd", ["--version"]).status !== 0) {
    console.log("\nWithout etcd and etcdctl: locks on etcd are not measured");
    return;
  }
  const root = mkdtempSync(join(tmpdir(), "trainlock-bench-"));
  process.once("exit", () => rmSync(root, { recursive: true, force: true, maxRetries: 10 }));
  const cluster = await startCluster();
  const version = execFileSync("etcd", ["--version"], { encoding: "utf8" }).split("\n")[0];
  console.log(`\n${version}, three members on loopback, load ${loadavg()[0]?.toFixed(1)}`);
  try {
    printInProcess(cluster, root);
    printProcesses(cluster, root);
    await printEtcdWakeUps(cluster, root);
    await printContention(cluster, root);
    await printManyLocks(cluster, root, seconds);
  } finally {
    await cluster.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
  await printEtcd(Number(process.argv[2] ?? 120));
}
