import { makeExamine } from "../evidence/examine.ts";
import { remoteOptionsOf } from "../evidence/remote/options.ts";
import { checkConfiguration } from "../listing/check-configuration.ts";
import { type ClearRequest, clearLocks } from "../listing/clear-locks.ts";
import { type ListRequest, listLocks } from "../listing/list-locks.ts";
import { type LockJson, lockJson } from "../listing/lock-json.ts";
import { preflightText } from "../listing/preflight-text.ts";
import type { Examine } from "../model/examine.ts";
import { isPid } from "../model/pid.ts";
import type { Layout } from "../site/layout.ts";
import { configurationFor, openLayout, type Site } from "../site/open-site.ts";
import { rootArguments } from "../site/root.ts";
import { examineWithRanks } from "../stores/ranks/examine-with-ranks.ts";
import { readProcess } from "../system/processes/process-table.ts";
import { requireTypes, type TrainingLockOptions } from "./training-lock.ts";

export interface ListOptions extends Site {
  /** False: nobody is asked, every lock is `unverified`. */
  readonly verifyPid?: boolean;
  /** Told of folders that cannot be read; their locks are missing from the list. Without it the process is warned. */
  readonly onUnreadable?: (path: string, errno: string) => void;
}

export interface ClearOptions extends Omit<ListOptions, "verifyPid"> {
  /** True, the default: remove nothing, only tell what would be removed. */
  readonly dryRun?: boolean;
  /** Unknown locks as well. Active ones are never removed. */
  readonly force?: boolean;
}

export interface ClearedLocks {
  readonly dryRun: boolean;
  readonly removed: readonly LockJson[];
  readonly kept: readonly LockJson[];
  readonly failed: readonly { readonly lock: LockJson; readonly error: Error }[];
}

/** The kernel locks under a root that are held, or not proven free, and those of the store, where the site names one. */
export async function listActiveLocks(options: ListOptions = {}): Promise<LockJson[]> {
  return (await list(options, ["fcntl", "etcd"])).filter(({ status }) => status !== "stale");
}

/** The markers under a root. */
export function listWeightsDirLocks(options: ListOptions = {}): Promise<LockJson[]> {
  return list(options, ["file"]);
}

/** Locks of every kind. */
export function listAllLocks(options: ListOptions = {}): Promise<LockJson[]> {
  return list(options, ["file", "fcntl", "etcd"]);
}

/** Clears kernel locks, and those of a store, that are provably nobody's. */
export function clearStaleLocks(options: ClearOptions = {}): Promise<ClearedLocks> {
  return clear(options, ["fcntl", "etcd"]);
}

/** Clears markers that are provably nobody's. */
export function clearStaleFileLocks(options: ClearOptions = {}): Promise<ClearedLocks> {
  return clear(options, ["file"]);
}

/**
 * Whether a configuration may be trained now: true means safe to proceed. Else the report that `trainlock check` prints goes to
 * standard error. Changes nothing on disk.
 */
export async function preflightCheck(options: TrainingLockOptions): Promise<boolean> {
  requireTypes(options);
  const layout = openLayout(options, process.env, rootArguments.library);
  const configuration = configurationFor(layout, options);
  const { lockedBy } = await checkConfiguration(layout, configuration, examineOf(layout));
  if (lockedBy !== null) process.stderr.write(`${preflightText(configuration, lockedBy)}\n`);
  return lockedBy === null;
}

/** Whether a process with this PID runs on this host, whoever's it is. Zombies do not run. */
export function isPidRunning(pid: number): boolean {
  if (!isPid(pid)) return false;
  const { kind } = readProcess(pid);
  return kind === "alive" || kind === "hidden";
}

function examineOf(layout: Layout): Examine {
  return examineWithRanks(makeExamine(remoteOptionsOf(layout.site)), layout.site.lockPrimitive);
}

/** An empty list must not look as if nothing were locked. */
function warn(path: string, errno: string): void {
  process.emitWarning(`cannot look into ${path}: ${errno}; its locks are not listed`, "TrainlockWarning");
}

async function list(options: ListOptions, kinds: ListRequest["kinds"]): Promise<LockJson[]> {
  const { verifyPid = true, onUnreadable = warn } = options;
  const layout = openLayout(options, process.env, rootArguments.library);
  const examine = examineOf(layout);
  const onLink = (path: string) => onUnreadable(path, "it is a link, and is not followed");
  return (await listLocks({ layout, kinds, verify: verifyPid, examine, onUnreadable, onLink })).map(lockJson);
}

async function clear(options: ClearOptions, kinds: ClearRequest["kinds"]): Promise<ClearedLocks> {
  const { dryRun = true, force = false, onUnreadable = warn } = options;
  const layout = openLayout(options, process.env, rootArguments.library);
  const result = await clearLocks({
    layout,
    configuration: null,
    kinds,
    dryRun,
    force,
    examine: examineOf(layout),
    onUnreadable,
  });
  return {
    dryRun,
    removed: result.removed.map(lockJson),
    kept: result.kept.map(lockJson),
    failed: result.failed.map(({ lock, error }) => ({ lock: lockJson(lock), error })),
  };
}
