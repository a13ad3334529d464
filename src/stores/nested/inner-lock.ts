import { lstatSync, readdirSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { kernelLockStem } from "../../site/layout.ts";
import { errnoOf } from "../../system/libc/errno.ts";
import type { LockPrimitive } from "../../system/libc/flock.ts";
import { flockHolderPids } from "../../system/processes/flock-holders.ts";
import { noteOf, processesIn } from "../../system/processes/noted-tree.ts";
import {
  ancestorsOf,
  type ProcessIdentity,
  readTreeProcess,
  sameProcess,
  type TreeProcess,
} from "../../system/processes/process-tree.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { keepsKernelLocks } from "../folder/claim-lock.ts";
import { acquireKernelLock, type KernelLock } from "../folder/kernel-lock.ts";
import { isOnOurKernel, lifeOf, type Participant } from "../ranks/participant.ts";
import { lifeOfRank } from "../ranks/rank-life.ts";
import { findStatuses, joinedRanks } from "../ranks/rank-status.ts";
import { nobodyKnown } from "../record-holder.ts";
import type { Busy } from "../store.ts";

const suffix = ".inner";

/** The lock that lets one run at a time in under a claim. */
export interface InnerLock {
  readonly descriptors: readonly number[];
  /** Notes the process tree of its command in its file: a process that has closed the lock may outlive this one. */
  recordTree(processes: readonly ProcessIdentity[]): void;
  release(): void;
}

/** A run inside of an inner run is a level deeper, and so on; nobody nests deeper than this on purpose. */
const mostLevels = 16;

/**
 * Takes the lock of the level that this process is on. All inner runs are on the host of their claim: where the shared folder
 * keeps no locks, one of this host's will do.
 */
export async function takeInnerLock(
  lockPath: string,
  token: string,
  primitive: LockPrimitive,
): Promise<InnerLock | Busy> {
  const rank = rankAbove(lockPath, token);
  const branch = rank === null ? token : `${token}.rank${rank}`;
  const folder = keepsKernelLocks(dirname(lockPath)) ? dirname(lockPath) : tmpdir();
  const stem = join(folder, `${kernelLockStem(lockPath)}.`);
  let path = "";
  for (let level = 1; level <= mostLevels; level += 1) {
    path = `${stem}${branch}.${level}${suffix}`;
    // Its end is nothing to wait for: it ends only when we have ended.
    if (isInside(path)) continue;
    const lock = await acquireKernelLock(path, primitive, false);
    if (lock === "busy") break;
    const left = leftOf(path, token);
    if (left !== null) {
      // Its note stays for the next one.
      lock.release();
      return busyInside(path, `process ${left.pid} of a killed run under the same claim runs on`, left);
    }
    const beside = level === 1 ? runningRank(lockPath, token, primitive) : null;
    if (beside !== null) {
      release(lock);
      return busyInside(path, `rank ${beside} of a launch under the same claim is not over`);
    }
    removeEarlier(stem, token);
    return {
      descriptors: lock.descriptors,
      recordTree: (processes) => noteTree(lock, token, processes),
      release: () => release(lock),
    };
  }
  return busyInside(path, "another run under the same claim is not over");
}

/** Whether the run that holds this inner lock is one that we are inside of. */
function isInside(path: string): boolean {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return false;
  const own = ancestorsOf(process.pid);
  return flockHolderPids(path, stats).some((pid) => own.has(pid));
}

function noteTree(lock: KernelLock, token: string, processes: readonly ProcessIdentity[]): void {
  const { bootId, pidNamespace } = thisHost();
  if (bootId === null) return;
  try {
    lock.write(noteOf({ token, bootId, pidNamespace, processes, allHoldLock: false }));
  } catch (error) {
    // A full disk costs no command its lock.
    if (errnoOf(error) === undefined) throw error;
  }
}

/** What is left of an inner run whose wrapper was killed, without this process and those above it; null: nothing that is seen. */
function leftOf(path: string, token: string): TreeProcess | null {
  const { bootId, pidNamespace } = thisHost();
  if (bootId === null) return null;
  const own = ancestorsOf(process.pid);
  for (const noted of processesIn(path, { token, bootId, pidNamespace })) {
    const now = readTreeProcess(noted.pid);
    if (now?.runs === true && sameProcess(noted, now) && !own.has(now.pid)) return now;
  }
  return null;
}

/** A process that waits for it finds that the file has lost its name, and makes another. */
function release(lock: KernelLock): void {
  try {
    unlinkSync(lock.path);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
  lock.release();
}

/**
 * A launch counts as one inner run, also when its rank 0 was killed. Not the launch whose rank 0 is above us: what runs inside of
 * it, its ranks may run each.
 */
function runningRank(lockPath: string, token: string, primitive: LockPrimitive): number | null {
  const own = ancestorsOf(process.pid);
  const isAbove = (found: Participant) => isOnOurKernel(found) && own.has(found.pid);
  const others = findStatuses(lockPath).filter(({ status }) => status.token === token && !isAbove(status.leader));
  const joined = others.flatMap(({ path }) => joinedRanks(path));
  if (joined.some(({ presence }) => presence !== null && isAbove(presence.follower))) return null;
  return joined.find((rank) => lifeOfRank(rank, primitive) !== "gone")?.rank ?? null;
}

/** The rank of a launch under this claim whose wrapper is above this process; null: it is none, or rank 0. */
export function rankAbove(lockPath: string, token: string): number | null {
  const own = ancestorsOf(process.ppid);
  const joined = findStatuses(lockPath)
    .filter(({ status }) => status.token === token)
    .flatMap(({ path }) => joinedRanks(path));
  const above = joined.find(
    ({ presence }) =>
      presence?.state === "running" && own.has(presence.follower.pid) && lifeOf(presence.follower) === "runs",
  );
  return above?.rank ?? null;
}

/** Those of earlier claims of this configuration: the one that holds it now is ours. */
function removeEarlier(stem: string, token: string): void {
  const name = basename(stem);
  try {
    for (const found of readdirSync(dirname(stem))) {
      const claim = found.startsWith(name)
        ? /^([0-9a-f]{32})\.(?:rank\d+\.)?\d+\.inner$/.exec(found.slice(name.length))?.[1]
        : null;
      if (claim != null && claim !== token) unlinkSync(join(dirname(stem), found));
    }
  } catch (error) {
    // In nobody's way.
    if (errnoOf(error) === undefined) throw error;
  }
}

function busyInside(path: string, detail: string, left: TreeProcess | null = null): Busy {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  const pid = left?.pid ?? (stats === undefined ? null : (flockHolderPids(path, stats)[0] ?? null));
  const { hostname, user } = thisHost();
  return {
    holder: pid === null ? nobodyKnown : { ...nobodyKnown, pid, hostname, user },
    verdict: { status: "active", label: "ACTIVE" },
    evidence: [{ source: "kernel-lock", says: "alive", detail }],
    path,
  };
}
