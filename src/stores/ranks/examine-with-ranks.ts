import { dirname } from "node:path";
import type { Evidence } from "../../model/evidence.ts";
import type { Examine } from "../../model/examine.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import { kernelLockStem } from "../../site/layout.ts";
import type { LockPrimitive } from "../../system/libc/flock.ts";
import { lifeOfRank } from "./rank-life.ts";
import { findStatuses, type JoinedRank, joinedRanks, locksWithLaunches } from "./rank-status.ts";

/**
 * Other ranks of a launch may still run when rank 0 is dead. So a claim with a dead owner is not stale while a rank of its launch
 * runs, or may run.
 */
export function examineWithRanks(examine: Examine, primitive: LockPrimitive): Examine {
  const mayHaveRanks = rememberingFolders();
  return async (facts) => {
    const examined = await examine(facts);
    if (examined.verdict.status !== "stale" || !mayHaveRanks(facts.lockPath)) return examined;
    for (const rank of ranksOf(facts)) {
      const life = lifeOfRank(rank, primitive);
      if (life === "gone") continue;
      if (life === "runs") return { verdict: active, evidence: [...examined.evidence, runsOn(rank)] };
      const found = await examine(asOwner(facts, rank));
      if (found.verdict.status !== "stale") return { ...found, evidence: [...examined.evidence, ...found.evidence] };
    }
    return examined;
  };
}

const active = { status: "active", label: "ACTIVE" } as const;

/** The ranks that have joined the claim of a record, unless it was released: rank 0 releases it only after they have ended. */
function ranksOf({ lockPath, record }: LockFacts): JoinedRank[] {
  const token = record?.trainlock?.token ?? null;
  if (token === null || record?.trainlock?.releasedAt !== null) return [];
  return findStatuses(lockPath)
    .filter(({ status }) => status.token === token)
    .flatMap(({ path }) => joinedRanks(path));
}

function runsOn({ rank, presence }: JoinedRank): Evidence {
  const who = presence === null ? "" : ` as process ${presence.follower.pid} on ${presence.follower.hostname}`;
  const detail = `rank ${rank} of its launch runs on${who}`;
  if (presence === null) return { source: "process", says: "alive", detail };
  const { pid, hostname } = presence.follower;
  return { source: "process", says: "alive", detail, living: { pid, hostname, command: [`[rank ${rank}]`] } };
}

/** The facts of the lock with that rank as its holder, so that hosts and schedulers are asked about its process. */
function asOwner(facts: LockFacts, { presence }: JoinedRank): LockFacts {
  const { record } = facts;
  if (presence === null || record === null || record.trainlock === null)
    return { ...facts, record: null, marker: null, kernelLock: { state: "none" } };
  const { hostname, pid, bootId, pidNamespace, startTimeTicks } = presence.follower;
  const section = { bootId, pidNamespace, startTimeTicks, machineId: null, childPid: null, childStartTimeTicks: null };
  return {
    ...facts,
    kernelLock: { state: "none" },
    record: { ...record, hostname, pid, trainlock: { ...record.trainlock, ...section } },
    pid,
  };
}

/** A list judges thousands of dead locks of one folder. So the names in the folder are read once for all of them. */
const rememberMs = 200;

function rememberingFolders(): (lockPath: string) => boolean {
  let known: { readonly folder: string; readonly locks: ReadonlySet<string>; readonly atMs: number } | null = null;
  return (lockPath) => {
    const folder = dirname(lockPath);
    if (known?.folder !== folder || performance.now() - known.atMs > rememberMs)
      known = { folder, locks: locksWithLaunches(folder), atMs: performance.now() };
    return known.locks.has(kernelLockStem(lockPath));
  };
}
