import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll } from "vitest";
import type { EtcdAccess, EtcdAddress } from "../../src/etcd/address.ts";
import { until } from "../support/until.ts";
import { type Certificates, makeCertificates, type Pair } from "./certificates.ts";
import { freePorts } from "./free-ports.ts";
import { type Member, startMember } from "./member.ts";

const call = promisify(execFile);

export interface ClusterOptions {
  /** 1 unless said otherwise. */
  readonly members?: 1 | 3;
  /** Clients need a certificate, too; `server` in place of the good one. */
  readonly tls?:
    | boolean
    | { readonly server: keyof Certificates & ("server" | "elsewhere" | "expired" | "serverOnly") };
  /** Users are there from the start, and `access` is alice's. */
  readonly auth?: boolean;
  /** More arguments of etcd. */
  readonly args?: readonly string[];
  /** Where three members are, in place of the loopback interface. */
  readonly hosts?: Hosts;
}

/** Hosts in network namespaces; `inside` is what a program's name is put behind for it to run there. */
export interface Hosts {
  readonly members: readonly {
    readonly address: string;
    readonly peerAddress: string;
    readonly inside: readonly string[];
  }[];
  readonly admin: readonly string[];
}

/** A real etcd on loopback, gone with the test file. */
export interface Cluster {
  /** `127.0.0.1:port`, in the order of the members. */
  readonly endpoints: readonly string[];
  readonly folder: string;
  readonly address: EtcdAddress;
  /** With which everything is allowed that alice, or anybody, may do. */
  readonly access: EtcdAccess;
  /** The address as a user writes it. */
  readonly url: string;
  /** The variables that go with it. */
  readonly env: Readonly<Record<string, string>>;
  readonly certificates: Certificates | null;
  /** Root, and alice who may read and write what is under `/trainlock/` only; from here on etcd asks who is there. */
  addUsers(): Promise<void>;
  /** As root where there are users. */
  etcdctl(...args: readonly string[]): Promise<string>;
  kill(member: number): Promise<void>;
  restart(member: number): Promise<void>;
  /** A cluster of one member is put back to what a file of `etcdctl snapshot save` has. */
  restoreFrom(snapshot: string): Promise<void>;
  pause(member: number): void;
  resume(member: number): void;
  /** Number of the member that leads; waits until there is one. */
  leader(): Promise<number>;
  /** Resolves once all members that are not killed answer. */
  healthy(): Promise<void>;
  stop(): Promise<void>;
}

export const passwords = { root: "over-everything", alice: "wonder land" } as const;
const prefix = "/trainlock";
export const noAccess: EtcdAccess = { caFile: null, certFile: null, keyFile: null, user: null, password: null };

const started = new Set<() => Promise<void>>();
afterAll(async () => {
  await Promise.all([...started].map((stop) => stop()));
});

/** Starts a cluster at the first call, and gives the same one at all later ones. */
export function sharedCluster(options: ClusterOptions = {}): () => Promise<Cluster> {
  let shared: Promise<Cluster> | undefined;
  return () => {
    shared ??= startCluster(options);
    return shared;
  };
}

/** Needs etcd and etcdctl, and openssl for TLS. Others may take a port that was free: then it is tried again. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  for (let attempt = 1; ; attempt += 1) {
    const cluster = await launch(options);
    try {
      await cluster.healthy();
      if (options.auth === true) await cluster.addUsers();
      return cluster;
    } catch (error) {
      const logs = options.members === 3 || options.hosts ? ["log-0", "log-1", "log-2"] : ["log-0"];
      const text = (await Promise.all(logs.map((log) => readFile(join(cluster.folder, log), "utf8")))).join("\n");
      await cluster.stop();
      if (attempt === 3 || !text.includes("address already in use"))
        throw new Error(`no etcd: ${text}`, { cause: error });
    }
  }
}

async function launch(options: ClusterOptions): Promise<Cluster> {
  const { hosts, members: count = hosts ? 3 : 1, tls = false, auth = false, args = [] } = options;
  const folder = await mkdtemp(join(tmpdir(), "trainlock-etcd-"));
  const certificates = tls === false ? null : await makeCertificates(folder);
  // Where there are users, etcd's gateway refuses a certificate that could be one.
  const own = auth ? certificates?.nameless : certificates?.client;
  const scheme = certificates === null ? "http" : "https";
  const ports = hosts ? [] : await freePorts(2 * count);
  const numbers = Array.from({ length: count }, (_, member) => member);
  const endpoints = numbers.map((member) =>
    hosts ? `${hosts.members[member]?.address}:2379` : `127.0.0.1:${ports[member]}`,
  );
  const peer = (member: number) =>
    hosts ? `http://${hosts.members[member]?.peerAddress}:2380` : `http://127.0.0.1:${ports[count + member]}`;
  const names = numbers.map((member) => `m${member}=${peer(member)}`).join(",");
  const server = certificates?.[typeof tls === "object" ? tls.server : "server"];
  const begin = (member: number) =>
    startMember(
      [
        ...(hosts?.members[member]?.inside ?? []),
        ...["etcd", "--name", `m${member}`, "--data-dir", join(folder, `data-${member}`), "--logger", "zap"],
        ...["--listen-client-urls", `${scheme}://${endpoints[member]}`],
        ...["--advertise-client-urls", `${scheme}://${endpoints[member]}`],
        ...["--listen-peer-urls", peer(member), "--initial-advertise-peer-urls", peer(member)],
        ...["--initial-cluster", names, "--initial-cluster-token", folder, "--bcrypt-cost", "4"],
        ...["--heartbeat-interval", "50", "--election-timeout", "500", "--log-level", "warn"],
        ...(certificates && server ? serverArgs(certificates, server) : []),
        ...args,
      ],
      join(folder, `log-${member}`),
    );
  const running: (Member | null)[] = await Promise.all(numbers.map(begin));
  const alive = () => endpoints.filter((_, member) => running[member] !== null);
  const ctl = async (to: readonly string[], ...rest: readonly string[]) => {
    const client = certificates === null ? [] : clientArgs(certificates);
    const user = usersThere ? [`--user=root:${passwords.root}`] : [];
    const where = ["--endpoints", to.map((endpoint) => `${scheme}://${endpoint}`).join(","), "--dial-timeout=1s"];
    const [file = "", ...before] = [...(hosts?.admin ?? []), "etcdctl"];
    const { stdout } = await call(file, [...before, ...where, ...client, ...user, ...rest], {
      env: { PATH: process.env.PATH, ETCDCTL_API: "3" },
    });
    return stdout;
  };
  let usersThere = false;
  const statuses = async () => {
    const text = await ctl(alive(), "--command-timeout=1s", "endpoint", "status", "-w", "json").catch(() => "[]");
    return JSON.parse(text.trim() || "[]") as {
      Endpoint: string;
      Status: { header: { member_id: number }; leader: number };
    }[];
  };
  const cluster: Cluster = {
    endpoints,
    folder,
    address: { secure: certificates !== null, endpoints, prefix },
    access: {
      caFile: certificates?.ca ?? null,
      certFile: own?.cert ?? null,
      keyFile: own?.key ?? null,
      user: auth ? "alice" : null,
      password: auth ? passwords.alice : null,
    },
    url: `${certificates === null ? "etcd" : "etcds"}://${endpoints.join(",")}${prefix}`,
    env: {
      ...(certificates === null
        ? {}
        : {
            TRAINLOCK_STORE_CA: certificates.ca,
            TRAINLOCK_STORE_CERT: own?.cert ?? "",
            TRAINLOCK_STORE_KEY: own?.key ?? "",
          }),
      ...(auth ? { TRAINLOCK_STORE_USER: "alice", TRAINLOCK_STORE_PASSWORD: passwords.alice } : {}),
    },
    certificates,
    async addUsers() {
      for (const command of userCommands) await ctl(alive(), ...command);
      usersThere = true;
    },
    etcdctl: (...rest) => ctl(alive(), ...rest),
    async kill(member) {
      const killed = running[member];
      running[member] = null;
      await killed?.kill();
    },
    async restart(member) {
      await cluster.kill(member);
      running[member] = await begin(member);
      await cluster.healthy();
    },
    async restoreFrom(snapshot) {
      await cluster.kill(0);
      const data = join(folder, "data-0");
      await rm(data, { recursive: true });
      const where = ["--name=m0", `--data-dir=${data}`, `--initial-cluster=${names}`];
      const peers = [`--initial-cluster-token=${folder}`, `--initial-advertise-peer-urls=${peer(0)}`];
      const env = { PATH: process.env.PATH, ETCDCTL_API: "3" };
      await call("etcdctl", ["snapshot", "restore", snapshot, ...where, ...peers], { env });
      await cluster.restart(0);
    },
    pause: (member) => running[member]?.signal("SIGSTOP"),
    resume: (member) => running[member]?.signal("SIGCONT"),
    leader: () =>
      until("a leader", async () => {
        const found = (await statuses()).find(({ Status: { leader, header } }) => leader === header.member_id);
        const member = endpoints.findIndex((endpoint) => found?.Endpoint.endsWith(endpoint));
        return member < 0 ? null : member;
      }),
    healthy: async () => {
      await until(
        "etcd to be healthy",
        () =>
          ctl(alive(), "--command-timeout=1s", "endpoint", "health").then(
            () => true,
            () => null,
          ),
        15_000,
      );
    },
    async stop() {
      started.delete(cluster.stop);
      await Promise.all(running.map((member) => member?.kill()));
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  started.add(cluster.stop);
  return cluster;
}

function serverArgs({ ca }: Certificates, server: Pair): string[] {
  return ["--cert-file", server.cert, "--key-file", server.key, "--client-cert-auth", "--trusted-ca-file", ca];
}

/** The server's certificate may be a bad one on purpose: that is for the client under test to find out. */
function clientArgs({ client }: Certificates): string[] {
  return ["--insecure-skip-tls-verify", "--cert", client.cert, "--key", client.key];
}

const userCommands = [
  ["user", "add", `root:${passwords.root}`],
  ["user", "grant-role", "root", "root"],
  ["role", "add", "trainlock"],
  ["role", "grant-permission", "trainlock", "--prefix=true", "readwrite", `${prefix}/`],
  ["user", "add", `alice:${passwords.alice}`],
  ["user", "grant-role", "alice", "trainlock"],
  ["auth", "enable"],
];
