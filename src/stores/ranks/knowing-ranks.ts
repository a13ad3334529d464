import { dirname } from "node:path";
import type { Evidence } from "../../model/evidence.ts";
import type { Examine } from "../../model/examine.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import { kernelLockStem } from "../../site/layout.ts";
import type { LockPrimitive } from "../../system/libc/flock.ts";
import { lifeOfRank } from "./rank-life.ts";
import { findStatuses, type JoinedRank, joinedRanks, locksWithLaunches } from "./rank-status.ts";

/**
 * A launch outlives its rank 0 for as long as another rank needs to stop. So a claim whose owner is dead still counts while a
 * rank of its launch runs, or may run.
 */
export function knowingRanks(examine: Examine, primitive: LockPrimitive): Examine {
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

/** The ranks that have joined the claim of a record, if that was not given back: rank 0 waits for them before it does so. */
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

/** The lock as if that rank held it: for hosts and schedulers that know its process. */
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

/** A list judges thousands of dead locks of one folder: its names serve for all that are judged in a moment. */
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
