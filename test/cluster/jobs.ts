import { fileURLToPath } from "node:url";
import type { TestConfiguration } from "../support/configuration.ts";
import { executable } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import type { Cluster, HostName } from "./cluster.ts";

const peer = (name: string) => fileURLToPath(new URL(`../support/peers/${name}`, import.meta.url));

/** The executable as it is called on login. */
export const tool = executable;

export interface Job {
  readonly id: string;
  readonly node: HostName;
  /** Of the process that the lock names. */
  readonly pid: number;
}

/** A script as users submit it; resolves with the job's id. */
export async function submit(cluster: Cluster, script: string, options: readonly string[] = []): Promise<string> {
  const argv = ["sbatch", "--parsable", "--output=/dev/null", ...options, "--wrap", script];
  return (await cluster.ask("login", argv)).trim();
}

export async function stateOf(cluster: Cluster, id: string): Promise<string> {
  return (await cluster.ask("login", ["squeue", "-h", "-t", "all", "-j", `${id},${id}`, "-o", "%T"])).trim();
}

/** Waits for a job to be in one of these states. */
export function untilState(cluster: Cluster, id: string, states: readonly string[]): Promise<string> {
  const look = async () => {
    const state = await stateOf(cluster, id);
    return states.includes(state) ? state : null;
  };
  return until(`job ${id} is ${states.join(" or ")}`, look, 45_000);
}

/** A named pipe that its reader holds open for writing too: an input that never ends, with no process behind it. */
const endless = "p=$(mktemp -u); mkfifo $p; exec 0<>$p; rm $p";

/** Deaf to SIGTERM, as a training deep in a library is: only so does scancel leave locks behind, by SIGKILL. */
const deaf = "trap '' TERM";
const deafPython =
  "import runpy, signal, sys; signal.signal = lambda *_: None; del sys.argv[0]; " +
  "runpy.run_path(sys.argv[0], run_name='__main__')";

/** Three ways to hold a configuration, as jobs. */
export const holders = {
  trainlock: (of: TestConfiguration, command = "sleep 3600") =>
    `${deaf}; exec ${tool} run ${of.args.join(" ")} -- ${command}`,
  noclobber: (of: TestConfiguration) => `${deaf}; ${endless}; exec bash ${peer("noclobber-job.sh")} ${of.marker}`,
  python: (of: TestConfiguration) =>
    `${deaf}; ${endless}; LSB_JOBID=$SLURM_JOB_ID exec python3 -c "${deafPython}" ${peer("flock_job.py")} hold ${of.kernelLock} ` +
    `--strategy ${of.strategy} --dataset ${of.dataset} --model ${of.model}`,
} as const;

/** Submits a holder to a node and waits until it holds. */
export async function hold(
  cluster: Cluster,
  kind: keyof typeof holders,
  of: TestConfiguration,
  node: HostName,
  command?: string,
): Promise<Job> {
  const id = await submit(cluster, holders[kind](of, command), [`--nodelist=${node}`]);
  const file = kind === "python" ? of.kernelLock : of.marker;
  const look = async () => {
    const { stdout } = await cluster.on(node, ["cat", file]);
    const pid = kind === "python" ? /"pid": (\d+)/.exec(stdout)?.[1] : /^(\d+)\n$/.exec(stdout)?.[1];
    return pid === undefined ? null : Number(pid);
  };
  const pid = await until(`job ${id} holds`, look, 30_000);
  // The command is noted after the marker is there.
  if (kind === "trainlock") await until("its command runs", async () => (await commandOf(cluster, of, node)) || null);
  return { id, node, pid };
}

/** SIGKILL for processes of a node. One that has ended meanwhile, by Slurm or with another, is as good. */
export async function killOn(cluster: Cluster, node: HostName, ...pids: readonly number[]): Promise<void> {
  await cluster.on(node, ["kill", "-9", ...pids.map(String)]);
}

export async function commandOf(cluster: Cluster, of: TestConfiguration, node: HostName): Promise<number> {
  const { stdout } = await cluster.on(node, ["cat", of.markerRecord]);
  return Number(/"child_pid": (\d+)/.exec(stdout)?.[1] ?? 0);
}

/**
 * Sees to it that a process of somebody else has this PID on a host. The host's next PIDs go on from where they were: else they
 * would soon come to a number that a job there has just left.
 */
export async function occupyPid(cluster: Cluster, host: HostName, pid: number): Promise<void> {
  const script = `[ -d /proc/${pid} ] && [ ${pid} != $$ ] && exit 0
    { read last </proc/sys/kernel/ns_last_pid; echo ${pid - 1} >/proc/sys/kernel/ns_last_pid; } 2>/dev/null
    setsid setpriv --reuid=65534 --regid=65534 --clear-groups sleep 3600 </dev/null >/dev/null 2>&1 &
    [ $last -gt $! ] && echo $last >/proc/sys/kernel/ns_last_pid; [ $! = ${pid} ]`;
  await until(`PID ${pid} on ${host}`, async () =>
    (await cluster.on(host, ["sh", "-c", script])).exitCode === 0 ? true : null,
  );
}

/** Makes a host give this PID to one of its next processes. */
export async function nextPid(cluster: Cluster, host: HostName, pid: number): Promise<void> {
  await cluster.ask(host, ["sh", "-c", `echo ${pid - 1} >/proc/sys/kernel/ns_last_pid`]);
}

export interface ListedLock {
  readonly kind: "file" | "fcntl";
  readonly name: string;
  readonly label: string;
  readonly status: string;
  readonly path: string;
  readonly holder: {
    readonly hostname: string | null;
    readonly jobId: string | null;
    readonly living: { readonly pid: number; readonly hostname: string; readonly command: readonly string[] } | null;
  } | null;
  readonly evidence: readonly { readonly source: string; readonly says: string; readonly detail: string }[];
}

export async function list(cluster: Cluster, root: string, options: readonly string[] = []): Promise<ListedLock[]> {
  const env = Object.fromEntries(options.filter((o) => o.startsWith("PATH=")).map((o) => ["PATH", o.slice(5)]));
  const flags = options.filter((option) => !option.startsWith("PATH="));
  const { stdout } = await cluster.on("login", [tool, "list", "--root", root, "--json", ...flags], { env });
  return JSON.parse(stdout).locks;
}
