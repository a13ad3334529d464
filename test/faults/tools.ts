import { fileURLToPath } from "node:url";

/** What is put to the test. */
export interface Tool {
  readonly name: string;
  /** A second process keeps its lease. */
  readonly hasKeeper: boolean;
  /** On stderr, when it waits; empty: it does not say so. */
  readonly saysItWaits: string;
  readonly env: Readonly<Record<string, string>>;
  argv(call: ToolCall): readonly string[];
}

interface ToolCall {
  /** A copy of the executable that is the scene's own, so that all its processes are known. */
  readonly executable: string;
  readonly root: string;
  readonly endpoints: readonly string[];
  readonly prefix: string;
  /** Waits for whoever has the lock; not for ever, or a test that was killed would leave it behind. */
  readonly waits: boolean;
  readonly options: readonly string[];
  readonly command: readonly string[];
}

export const worker = fileURLToPath(new URL("worker.pl", import.meta.url));
export const configuration = ["--strategy", "baseline", "--dataset", "ACDC", "--model", "m"] as const;
export const ttlMs = 5000;

const trainlock: Tool = {
  name: "trainlock run",
  hasKeeper: true,
  saysItWaits: "Waiting for",
  env: {},
  argv: ({ executable, root, endpoints, prefix, waits, options, command }) => [
    ...[executable, "run", "--root", root, ...configuration, "--store", `etcd://${endpoints.join(",")}${prefix}`],
    ...["--ttl", `${ttlMs / 1000}s`, ...(waits ? ["--wait=2m"] : []), "--no-also-marker", ...options, "--", ...command],
  ],
};

/** It always waits. */
const etcdctlLock: Tool = {
  name: "etcdctl lock",
  hasKeeper: false,
  saysItWaits: "",
  env: { ETCDCTL_API: "3" },
  argv: ({ endpoints, prefix, command }) => [
    ...["etcdctl", "--endpoints", endpoints.join(","), "lock", `--ttl=${ttlMs / 1000}`],
    ...[`${prefix}/locks/training`, "--", ...command],
  ],
};

/** `npm run test:faults -- --compare` tries the same with both. */
export const tool = process.env.TRAINLOCK_FAULTS_WITH === etcdctlLock.name ? etcdctlLock : trainlock;

/**
 * How long a cut lasts that is to lose nothing: with what it takes to notice that it is over, less than three quarters of `ttlMs`.
 */
export const bearableOutageMs = 3000;
export const unbearableOutageMs = 1.6 * ttlMs;
/** From a keeper's end, or its last word, until its successor renews. */
export const replacingMs = 2000;
