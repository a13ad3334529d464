import { copyFileSync, linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Interval } from "../support/intervals.ts";
import { isRunning } from "../support/process-state.ts";
import { executable as built } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { type Attempt, type Contender, startContender } from "./contender.ts";
import { type Journal, readScene } from "./journal.ts";
import { startProber } from "./outages.ts";
import { killAllOf, processesOf } from "./processes.ts";
import { type Relays, startRelays } from "./relays.ts";
import type { Stage } from "./stage.ts";
import { tool, ttlMs, worker } from "./tools.ts";

/** A command that runs, or ran, under the lock. */
export interface Holding {
  readonly command: number;
  readonly wrapper: number;
  readonly generation: number;
}

export interface ContenderOptions {
  /** Number of its host. */
  readonly host?: number;
  readonly waits?: boolean;
  /** Does not end for SIGTERM. */
  readonly stubborn?: boolean;
  readonly endpoints?: readonly string[];
  readonly options?: readonly string[];
  /** Put before its program. */
  readonly behind?: readonly string[];
}

/** One round: contenders for one lock, and what becomes of it. */
export interface Scene {
  readonly stage: Stage;
  readonly folder: string;
  readonly root: string;
  readonly prefix: string;
  /** The holder's way to the members, if it is another than that of the others. */
  readonly relays: Relays | null;
  /** The longest time since then in which the cluster answered one of the clients' hosts, or the holder, not at all. */
  longestOutageMs(since: bigint): number;
  /** Commands that nobody could stop in time: the processes that would have were stopped, or killed, all of them. */
  readonly unguarded: Set<number>;
  /** Holders whose wrapper cannot say what became of it. */
  readonly killed: Set<number>;
  /** What the table's reader should know. */
  readonly told: string[];
  contend(options?: ContenderOptions): void;
  /** Resolves once so many wait in the queue. */
  queued(count: number): Promise<void>;
  /** Who holds the lock now. */
  holder(): Promise<Holding>;
  /** Who holds it after this one, whatever became of that. */
  holderAfter(before: Holding): Promise<Holding>;
  /** What renews its lease; none for a tool that does so itself. */
  keepersOf(holding: Holding): number[];
  keeperOf(holding: Holding): number;
  /** Waits for one. */
  newKeeperOf(holding: Holding): Promise<number>;
  signal(signal: NodeJS.Signals, ...pids: readonly number[]): void;
  /** Resolves once a command has ended. */
  ended(holding: Holding): Promise<void>;
  /** Lets a command end by itself. */
  end(holding: Holding): void;
  attempt(holding: Holding): Attempt | undefined;
  attempts(): Attempt[];
  isRunning(command: number): boolean;
  journal(): Journal;
  /** Ends everything in good order; what is left of it, in words. */
  close(): Promise<string[]>;
  /** Ends everything, in any order. */
  dispose(): Promise<void>;
}

let scenes = 0;

export async function openScene(stage: Stage): Promise<Scene> {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "trainlock-fault-"));
  const executable = join(folder, "trainlock");
  try {
    linkSync(built, executable);
  } catch {
    copyFileSync(built, executable);
  }
  const root = join(folder, "root");
  mkdirSync(root);
  const prefix = `/trainlock/scene-${process.pid}-${scenes++}`;
  const contenders: Contender[] = [];
  const relays = stage.relayed ? await startRelays(stage.cluster.endpoints) : null;
  const ownProber = relays === null ? null : startProber([], relays.endpoints);
  const probers = ownProber === null ? stage.probers : [...stage.probers, ownProber];
  stage.scenes += 1;
  const { cluster, clients } = stage;
  const journal = () => readScene(folder);
  const attempts = () => contenders.flatMap((contender) => contender.attempts());
  const holdingOf = ({ pid, writer, generation }: Interval) => ({ command: pid, wrapper: Number(writer), generation });
  const running = (found: Interval) => found.to === null && scene.isRunning(found.pid);
  const leftOver = async () => {
    const keys = await cluster.etcdctl("get", "--prefix", "--keys-only", `${prefix}/locks/`);
    // Whose a lease is cannot be told once it has no key.
    const leases = stage.scenes > 1 ? [] : (await cluster.etcdctl("lease", "list")).split("\n").slice(1);
    const processes = processesOf(folder).map(({ pid, name }) => `${name} (PID ${pid})`);
    return [...keys.split("\n"), ...leases, ...processes].filter(Boolean);
  };
  const scene: Scene = {
    stage,
    folder,
    root,
    prefix,
    relays,
    longestOutageMs: (since) => Math.max(...probers.map((prober) => prober.longestOutageMs(since))),
    unguarded: new Set(),
    killed: new Set(),
    told: [],
    contend: ({ host = 0, waits = true, stubborn = false, options = [], behind = [], ...rest } = {}) => {
      const { endpoints = cluster.endpoints } = rest;
      const command = ["perl", worker, `${folder}/`, String(process.pid), stubborn ? "stubborn" : "polite"];
      const call = { executable, root, endpoints, prefix, waits, options, command };
      const inside = clients[host % clients.length] ?? [];
      contenders.push(startContender([...inside, ...behind, ...tool.argv(call)], tool.env));
    },
    queued: async (count) => {
      const waiting = () => attempts().filter(({ stderr }) => stderr.includes(tool.saysItWaits)).length;
      await until("others to wait", () => (waiting() >= count ? true : null), 30_000);
    },
    holder: () => until("somebody to hold the lock", () => holdingOrNull(journal().intervals.find(running)), 30_000),
    holderAfter: (before) =>
      until(
        `somebody to hold the lock after ${before.generation}\n${describe(attempts())}`,
        () => holdingOrNull(journal().intervals.find((one) => running(one) && one.pid !== before.command)),
        40_000,
      ),
    keepersOf: ({ wrapper }) =>
      processesOf(folder)
        .filter(({ parent, name }) => parent === wrapper && name === "lease-keeper")
        .map(({ pid }) => pid),
    keeperOf: (holding) => {
      const [keeper] = scene.keepersOf(holding);
      if (keeper === undefined) throw new Error(`${holding.wrapper} has no keeper`);
      return keeper;
    },
    newKeeperOf: (holding) => until("a keeper", () => scene.keepersOf(holding)[0] ?? null),
    signal: (signal, ...pids) => {
      for (const pid of pids) process.kill(pid, signal);
    },
    ended: async ({ command }) => {
      await until(`${command} to end`, () => (isRunning(command) ? null : true), 30_000);
    },
    end: ({ wrapper }) => writeFileSync(join(folder, `end-${wrapper}`), ""),
    attempt: ({ wrapper }) => attempts().find(({ pid }) => pid === wrapper),
    attempts,
    isRunning,
    journal,
    close: async () => {
      const holding = new Set(
        journal()
          .intervals.filter(running)
          .map(({ writer }) => Number(writer)),
      );
      const stopped = contenders.map((contender) => contender.stop((pid) => holding.has(pid)));
      writeFileSync(join(folder, "end"), "");
      await until("all contenders to end", stopWith(stopped), 30_000);
      // What nobody gave back ends with its lease.
      let left: string[] = [];
      const isEmpty = async () => {
        left = await leftOver();
        return left.length === 0 ? true : null;
      };
      await until("everything to be gone", isEmpty, 3 * ttlMs).catch(() => undefined);
      return left;
    },
    dispose: async () => {
      stage.scenes -= 1;
      const stopped = contenders.map((contender) => contender.stop(() => true));
      killAllOf(folder);
      await Promise.allSettled([...stopped, relays?.stop(), ownProber?.stop()]);
      killAllOf(folder);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  const holdingOrNull = (found: Interval | undefined) => (found === undefined ? null : holdingOf(found));
  return scene;
}

function stopWith(all: readonly Promise<void>[]): () => true | null {
  let over = false;
  void Promise.allSettled(all).then(() => {
    over = true;
  });
  return () => (over ? true : null);
}

export function describe(attempts: readonly Attempt[]): string {
  return attempts
    .slice(-8)
    .map(({ pid, ending, stderr }) => `${pid}: ${ending ?? "runs"} ${stderr.trim()}`)
    .join("\n");
}
