// A real etcd of three members on loopback, for measurements.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, openSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

// The shell ends its etcd with its own input: nothing is left over even where the measuring process is killed.
const guard = 'etcd "$@" </dev/null >&2 & echo $!; cat >/dev/null; kill -KILL $!; wait';

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Starts the members, with etcd's own settings for heartbeats and elections. */
export async function startCluster() {
  const folder = mkdtempSync(join(tmpdir(), "trainlock-bench-etcd-"));
  const ports = await freePorts(6);
  const client = (member) => `http://127.0.0.1:${ports[member]}`;
  const peer = (member) => `http://127.0.0.1:${ports[3 + member]}`;
  const numbers = [0, 1, 2];
  const names = numbers.map((member) => `m${member}=${peer(member)}`).join(",");
  const members = numbers.map((member) => {
    const args = [
      ...["--name", `m${member}`, "--data-dir", join(folder, `data-${member}`), "--logger", "zap"],
      ...["--listen-client-urls", client(member), "--advertise-client-urls", client(member)],
      ...["--listen-peer-urls", peer(member), "--initial-advertise-peer-urls", peer(member)],
      ...["--initial-cluster", names, "--initial-cluster-token", folder, "--log-level", "error"],
    ];
    const log = openSync(join(folder, `log-${member}`), "a");
    return spawn("sh", ["-c", guard, "sh", ...args], { stdio: ["pipe", "pipe", log], detached: true });
  });
  const ends = members.map((shell) => new Promise((resolve) => shell.once("close", resolve)));
  const pids = await Promise.all(
    members.map((shell) => new Promise((resolve) => shell.stdout.once("data", (line) => resolve(Number(line))))),
  );
  const endpoints = numbers.map((member) => `127.0.0.1:${ports[member]}`);
  const env = { PATH: process.env.PATH, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: numbers.map(client).join(",") };
  let running = true;
  process.once("exit", () => {
    if (running) for (const pid of pids) process.kill(pid, "SIGKILL");
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  });
  const stop = async () => {
    for (const shell of members) shell.stdin.destroy();
    await Promise.all(ends);
    running = false;
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      execFileSync("etcdctl", ["endpoint", "health"], { env, stdio: "ignore" });
      break;
    } catch (error) {
      if (attempt === 50) {
        await stop();
        throw error;
      }
      await sleep(200);
    }
  }
  return { endpoints, url: `etcd://${endpoints.join(",")}/bench`, env, pids, stop };
}

/** What the members have been asked since they were started, calls by name, all members together. */
export async function callsAt({ endpoints }) {
  const calls = new Map();
  for (const endpoint of endpoints) {
    const text = await (await fetch(`http://${endpoint}/metrics`)).text();
    for (const [, name, count] of text.matchAll(/^grpc_server_started_total\{grpc_method="(\w+)".*\} (\d+)$/gm)) {
      calls.set(name, (calls.get(name) ?? 0) + Number(count));
    }
  }
  return calls;
}
