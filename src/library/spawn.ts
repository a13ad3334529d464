import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import type { Configuration } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import type { Layout } from "../site/layout.ts";
import { environmentOfStore } from "../site/store-settings.ts";
import { type Inheritance, inheritanceArguments, spawnCommandName } from "../stores/inheritance.ts";
import { executable } from "./executable.ts";

/** Options of `child_process.spawn`, and of `trainlock run`. */
export interface TrainingOptions extends Omit<SpawnOptions, "argv0" | "shell"> {
  /** Wait for the lock for at most so many seconds; Infinity: without a limit. Absent: not at all. */
  readonly wait?: number;
  /** When the lock is lost: stop the whole process tree, the default, or only say so. */
  readonly onLost?: "stop" | "warn";
  /** Seconds from SIGTERM to SIGKILL, and for what the command leaves behind. */
  readonly killAfter?: number;
  /** What becomes of processes that go on when the command has ended. */
  readonly leftovers?: "kill" | "wait" | "leave";
  /** When the helper itself is killed, the process tree is, too. */
  readonly dieWithWrapper?: boolean;
  /** The outcome goes to this file as JSON. */
  readonly status?: string;
}

/** The site as the lock has opened it: files by their absolute paths. */
export interface SpawnSite {
  readonly layout: Layout;
  readonly configFile: string | null;
}

/** Starts the helper that trains. It inherits `lock`, and begins when `gate`, a pipe of ours, is closed. */
export function spawnTraining(
  { layout, configFile }: SpawnSite,
  configuration: Configuration,
  argv: readonly [string, ...string[]],
  options: TrainingOptions,
  lock: readonly number[] | null,
): ChildProcess {
  const { wait, onLost, killAfter, leftovers, dieWithWrapper, status, stdio, env, ...others } = options;
  const own = typeof stdio === "string" || stdio === undefined ? Array(3).fill(stdio ?? "pipe") : [...stdio];
  while (own.length < 3) own.push("pipe");
  const inheritance: Inheritance | null =
    lock === null ? null : { gate: own.length, locks: lock.map((_, at) => own.length + 1 + at) };
  const args = [
    spawnCommandName,
    ...(inheritance === null ? [] : inheritanceArguments(inheritance)),
    ...configurationArguments(configuration),
    `--root=${layout.root}`,
    `--lock-dir=${layout.lockDir}`,
    ...(configFile === null ? [] : [`--config=${configFile}`]),
    ...(layout.store === null ? [] : [`--store=${layout.store.address}`]),
    ...(wait === undefined || wait <= 0 ? [] : [wait === Number.POSITIVE_INFINITY ? "--wait" : `--wait=${wait}s`]),
    ...(onLost === undefined ? [] : [`--on-lost=${onLost}`]),
    ...(killAfter === undefined ? [] : [`--kill-after=${killAfter}s`]),
    ...(leftovers === undefined ? [] : [`--leftovers=${leftovers}`]),
    ...(dieWithWrapper === true ? ["--die-with-wrapper"] : []),
    ...(status === undefined ? [] : [`--status=${status}`]),
    "--quiet",
    "--",
    ...argv,
  ];
  return spawn(executable(), args, {
    ...others,
    env: { ...(env ?? process.env), ...environmentOfStore(layout.store) },
    stdio: lock === null ? own : [...own, "pipe", ...lock],
  });
}

function configurationArguments(configuration: Configuration): string[] {
  const { strategy, dataset, model, ratio, auxLoss, stage, dimensions } = configuration;
  const named = { strategy, dataset, model, ratio, "aux-loss": auxLoss, stage };
  return [
    ...Object.entries(named).flatMap(([name, value]) => (value === null ? [] : [`--${name}=${value}`])),
    ...Object.entries(dimensions).map(([name, value]) => `--set=${name}=${value}`),
  ];
}

/** Throws a UsageError for a command that is none. */
export function requireCommand(command: unknown, args: unknown): readonly [string, ...string[]] {
  const isText = (value: unknown): value is string => typeof value === "string" && !value.includes("\0");
  if (isText(command) && command !== "" && Array.isArray(args) && args.every(isText)) return [command, ...args];
  throw new UsageError("spawn needs a command and a list of arguments, all of them strings", {
    hint: 'for example lock.spawn("python3", ["train.py"], { stdio: "inherit" })',
  });
}
