import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startReadyScript } from "../support/ready-script.ts";
import { type Finished, finish, type RunningProcess, startProcess } from "../support/running-process.ts";

const script = fileURLToPath(new URL("cluster.sh", import.meta.url));

export type HostName = "login" | "node01" | "node02";
export const nodes = ["node01", "node02"] as const;

/** Who is a user there beside root; both of the group `lab`. */
export const users = { ada: 7001, ben: 7002 } as const;
export const lab = 7000;
export type UserName = keyof typeof users;

export interface Cluster {
  /** All of it lies here, at the same path on every host and outside. */
  readonly folder: string;
  /** Seen by every host at this path, through a file system of its own whose flock does not leave it. */
  readonly shared: string;
  /** Runs a program on a host to its end. */
  on(host: HostName, argv: readonly string[], options?: CallOptions): Promise<Finished>;
  /** Starts a program on a host; it is over after the test. */
  start(host: HostName, argv: readonly string[], options?: CallOptions): RunningProcess;
  /** The stdout of a program that has to succeed. */
  ask(host: HostName, argv: readonly string[], options?: CallOptions): Promise<string>;
  /** Unplugs a node's network, or plugs it in again. */
  plug(node: (typeof nodes)[number], how: "up" | "down"): void;
  /** Stops a node's sshd, or lets it go on: its network goes on either way. */
  signalSshd(node: (typeof nodes)[number], signal: "SIGSTOP" | "SIGCONT"): void;
  /** Ends everything; what is left over, in words. */
  stop(): Promise<string[]>;
}

interface CallOptions {
  readonly timeoutMs?: number;
  /** Else root. */
  readonly user?: UserName;
  readonly env?: Readonly<Record<string, string>>;
}

/** Why no cluster can be started here; null: one can. */
export function clusterIsMissing(): string | null {
  if (process.getuid?.() !== 0) return "root";
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  const commands = "slurmctld slurmd munged sshd ssh ssh-keygen ip nsenter unshare bindfs pgrep setpriv python3".split(
    " ",
  );
  const missing = commands.filter((name) => !path.split(":").some((folder) => existsSync(join(folder, name))));
  if (missing.length > 0) return missing.join(", ");
  if (!existsSync("/dev/fuse")) return "/dev/fuse";
  const trial = ["--net", "--uts", "--pid", "--mount", "--fork", "--mount-proc", "true"];
  return spawnSync("unshare", trial, { stdio: "ignore" }).status === 0 ? null : "unshare";
}

/** Starts the cluster. It goes down when `stop` is called, and when this process ends, however it ends. */
export async function startCluster(): Promise<Cluster> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), "tl-"));
  const running = await startReadyScript(script, [folder]);
  const read = (name: string) => readFileSync(join(folder, name), "utf8").trim();
  const firstPid = (host: HostName) => read(`${host}.pid`);
  const inside = (host: HostName, argv: readonly string[], { env = {}, user }: CallOptions = {}) => {
    const home = join(folder, user === undefined ? "home" : `home-${user}`);
    const base = {
      SLURM_CONF: join(folder, "slurm.conf"),
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: home,
      ...(user === undefined ? {} : { USER: user, XDG_RUNTIME_DIR: join(home, "run") }),
      ...env,
    };
    const variables = Object.entries(base).map(([name, value]) => `${name}=${value}`);
    const as = user === undefined ? [] : ["setpriv", `--reuid=${users[user]}`, `--regid=${lab}`, "--clear-groups"];
    const place = ["-t", firstPid(host), "--net", "--uts", "--pid", "--mount", "--wd=/"];
    return [...place, "env", "-i", ...variables, ...as, ...argv];
  };
  const onHost: Cluster["on"] = (host, argv, options) =>
    finish("nsenter", inside(host, argv, options), { timeoutMs: options?.timeoutMs ?? 60_000 });
  return {
    folder,
    shared: join(folder, "shared"),
    on: onHost,
    start: (host, argv, options) =>
      startProcess("nsenter", inside(host, argv, options), { timeoutMs: options?.timeoutMs ?? 60_000 }),
    ask: async (host, argv, options) => {
      const { stdout, stderr, exitCode } = await onHost(host, argv, options);
      if (exitCode !== 0) throw new Error(`${argv.join(" ")} on ${host}: exit ${exitCode}\n${stdout}${stderr}`);
      return stdout;
    },
    plug: (node, how) => {
      const { status } = spawnSync("ip", ["-n", read("switch"), "link", "set", `v-${node}`, how]);
      if (status !== 0) throw new Error(`cannot plug ${node} ${how}`);
    },
    // It is the first process of its host, which no signal from within could stop.
    signalSshd: (node, signal) => process.kill(Number(firstPid(node)), signal),
    stop: async () => {
      const spaces = ["login", ...nodes].map((host) => read("switch").replace(/login$/, host));
      await running.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
      const listed = spawnSync("ip", ["netns", "list"], { encoding: "utf8" }).stdout;
      const left = spawnSync("pgrep", ["-af", folder], { encoding: "utf8" }).stdout.split("\n").filter(Boolean);
      return [...spaces.filter((space) => listed.includes(space)), ...left];
    },
  };
}
