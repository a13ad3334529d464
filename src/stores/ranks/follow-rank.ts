import type { Configuration } from "../../model/configuration.ts";
import { EnvironmentError, LockLostError } from "../../model/errors.ts";
import { type OwnerRecord, recordIn } from "../../model/owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { sleep, sleepUnlessAborted } from "../../system/clock/sleep.ts";
import { readProcess, startedBy } from "../../system/processes/process-table.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { bothLocks } from "../both-stores.ts";
import { nobodyKnown } from "../claim-record.ts";
import { readLockRecord } from "../folder/lock-file.ts";
import { readMarkerRecord } from "../folder/read-marker.ts";
import type { Acquisition, Busy, HeldLock, LockStore, Wait } from "../store.ts";
import type { Launch } from "./launch.ts";
import { type RankStatus, rankStatusPath, readRankStatus, writePresence } from "./rank-status.ts";

const pollMs = 200;
const watchMs = 1000;
/** Ranks start within moments of each other; a rank 0 that was never started under trainlock says nothing for ever. */
const silenceMs = 600_000;
/** A last status older than this when we start is that of another launch of the same name. */
const staleStatusMs = 120_000;

export interface Joining {
  /** How long a rank may go on when rank 0 has ended, milliseconds. */
  readonly graceMs: number;
  /** Where rank 0 keeps the lock for all. */
  readonly address: string;
  /** In a store with leases each rank holds the claim of rank 0, by its token; null: it is not there. */
  readonly join?: ((token: string) => Promise<HeldLock | null>) | undefined;
}

/**
 * Any rank but 0: holds nothing itself, starts once rank 0 holds the lock for all, and is told it is lost when rank 0 has lost
 * it, has ended and `graceMs` have passed, or when another claim has been made.
 */
export function joinRank(
  layout: Layout,
  configuration: Configuration,
  launch: Launch,
  { graceMs, address, join }: Joining,
): LockStore {
  const lockPath = layout.kernelLockPath(configuration);
  const path = rankStatusPath(lockPath, launch.key);
  const weightsDir = layout.weightsDir(configuration);
  const startedAtMs = Date.now();
  const silentSince = performance.now();

  const current = (): RankStatus | null => {
    const found = readRankStatus(path);
    if (found === null) return null;
    const isLast = found.status.state === "over" || found.status.state === "lost";
    return isLast && found.writtenAtMs < startedAtMs - staleStatusMs ? null : found.status;
  };
  const busy: Busy = { holder: nobodyKnown, verdict: { status: "active", label: "ACTIVE" }, evidence: [], path };

  const acquire = async (): Promise<Acquisition> => {
    const status = current();
    if (status === null || status.state === "asking") return { kind: "busy", busy, wait };
    if (status.state === "over" || status.state === "lost" || status.token === null)
      return { kind: "busy", busy, wait: null };
    const leased = await join?.(status.token);
    if (leased === null) {
      // Rank 0 says soon what has become of it.
      await sleep(pollMs);
      return { kind: "busy", busy, wait };
    }
    writePresence(path, launch.rank, "running");
    // A store's claims leave no record in the folder, and one that is there is another's from before.
    const records = layout.store === null ? { weightsDir, lockPath } : null;
    const held = joined(path, records, { ...status, token: status.token }, graceMs);
    const release = async () => leave(held, path, launch.rank);
    const lock = { ...held, address, release };
    return { kind: "held", lock: leased === undefined ? lock : bothLocks(leased, lock) };
  };
  const wait: Wait = async (signal) => {
    while (!signal.aborted) {
      const status = current();
      if (status !== null && status.state !== "asking") return { acquire, giveUp: () => undefined };
      if (status === null && performance.now() - silentSince > silenceMs) throw silence(path);
      await sleepUnlessAborted(pollMs, signal);
    }
    return null;
  };
  return { acquire };
}

/** Whether wrapper and command of a record both have ended on this host; of another host its own launcher knows. */
function isGone({ pid, trainlock }: OwnerRecord): boolean {
  if (trainlock === null || trainlock.releasedAt !== null || trainlock.token === null || pid === null) return false;
  const { bootId, pidNamespace } = thisHost();
  if (trainlock.bootId !== bootId || trainlock.pidNamespace !== pidNamespace) return false;
  const hasEnded = (number: number) => /^(gone|zombie)$/.test(readProcess(number).kind);
  if (!hasEnded(pid)) return false;
  // Killed before it could note its command, which says itself whose it is.
  if (trainlock.childPid === null) return startedBy(pid, trainlock.token).length === 0;
  return hasEnded(trainlock.childPid);
}

async function leave(held: { release(): Promise<void> }, path: string, rank: number): Promise<void> {
  await held.release();
  // Where rank 0 is over, nobody reads it any more.
  if (readRankStatus(path)?.status.state !== "over") writePresence(path, rank, "ended");
}

function silence(path: string): EnvironmentError {
  return new EnvironmentError(`rank 0 has not been heard of for ${silenceMs / 60_000} minutes (${path})`, {
    code: "ERR_NO_RANK_0",
    hint: "start every rank under `trainlock run --ranks job`, on one shared folder",
  });
}

function joined(
  path: string,
  records: { readonly weightsDir: string; readonly lockPath: string } | null,
  status: RankStatus & { readonly token: string },
  graceMs: number,
) {
  const { token, generation } = status;
  const lost = new AbortController();
  let endedAt: number | null = null;
  const look = () => {
    const state = readRankStatus(path)?.status.state;
    if (state === "ended" || state === "over") endedAt ??= performance.now();
    const beside = records === null ? null : recordIn(readMarkerRecord(records.weightsDir).reading);
    // The command is noted there first: a wrapper that was killed soon has noted it nowhere else.
    const locked = records === null ? null : recordIn(readLockRecord(records.lockPath));
    const owner = beside?.trainlock?.token ?? null;
    if (state === "lost") lose("rank 0 has lost it");
    else if (owner !== null && owner !== token) lose("another claim has been made");
    else if ([locked, beside].some((record) => record?.trainlock?.token === token && isGone(record)))
      lose("rank 0 is gone");
    else if (endedAt !== null && performance.now() - endedAt > graceMs) lose("rank 0 has ended");
  };
  const watching = setInterval(look, watchMs);
  const lose = (why: string) => {
    clearInterval(watching);
    lost.abort(new LockLostError(why));
  };
  return {
    token,
    generation,
    lost: lost.signal,
    descriptors: [],
    recordChild: async () => undefined,
    check: async () => look(),
    assertHeld: async () => {
      look();
      lost.signal.throwIfAborted();
    },
    release: async () => clearInterval(watching),
  };
}
