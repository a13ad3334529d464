import type { Configuration } from "../../model/configuration.ts";
import { EnvironmentError, LockLostError } from "../../model/errors.ts";
import { recordIn } from "../../model/owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { sleep, sleepUnlessAborted } from "../../system/clock/sleep.ts";
import type { ProcessIdentity } from "../../system/processes/process-tree.ts";
import { isCarrier } from "../../system/processes/training-processes.ts";
import { bothLocks } from "../both-stores.ts";
import { noEarlierRuns } from "../earlier-runs.ts";
import { readMarkerRecord } from "../folder/read-marker.ts";
import { nobodyKnown } from "../record-holder.ts";
import type { Acquisition, Busy, HeldLock, LockStore, Wait } from "../store.ts";
import { Beats } from "./beats.ts";
import { LeaderSearch } from "./find-leader.ts";
import type { Launch } from "./launch.ts";
import { removeIfAllEnded } from "./lead-ranks.ts";
import { leaderEnd, leasedLeaderEnd } from "./leader-end.ts";
import { lifeOf } from "./participant.ts";
import type { Place } from "./place.ts";
import { type RankStatus, readStatus, unknownStatusPath } from "./rank-status.ts";

const pollMs = 200;
const watchMs = 1000;
/** This rank writes its own beat at every such look at rank 0. */
const looksPerBeat = 5;

export interface Joining {
  /** How long a rank may go on when rank 0 has ended, milliseconds. */
  readonly graceMs: number;
  /** Where rank 0 keeps the lock for all. */
  readonly address: string;
  /** Joins the claim of rank 0 by its token, in a store with leases; resolves with null if there is no such claim. */
  readonly join?: ((token: string) => Promise<HeldLock | null>) | undefined;
}

export interface Following {
  readonly store: LockStore;
  /** Writes that this rank has ended. Rank 0 waits for that, and the last rank removes the files of the launch. */
  conclude(): void;
}

/**
 * A rank other than 0. It takes no lock, and starts once rank 0 holds the lock for all. Its `lost` aborts if rank 0 has lost the
 * lock or is gone, if rank 0 has ended and `graceMs` have passed, or if another claim was made.
 */
export function joinRank(
  layout: Layout,
  configuration: Configuration,
  launch: Launch,
  { graceMs, address, join }: Joining,
): Following {
  const lockPath = layout.kernelLockPath(configuration);
  const search = new LeaderSearch(lockPath, launch, layout.site.lockPrimitive);
  const busy: Busy = {
    holder: nobodyKnown,
    verdict: { status: "active", label: "ACTIVE" },
    evidence: [],
    path: unknownStatusPath(lockPath, launch.key),
  };
  const acquire = async (): Promise<Acquisition> => {
    const status = search.look();
    const { place } = search;
    if (place === null || status?.state === "asking") return { kind: "busy", busy, wait };
    if (status === null || status.state === "over" || status.state === "lost" || status.token === null)
      return { kind: "busy", busy, wait: null };
    const { token } = status;
    const leased = await join?.(token);
    if (leased === null) {
      // The claim is gone. Rank 0 will soon write why.
      await sleep(pollMs);
      return { kind: "busy", busy, wait };
    }
    place.say({ state: "running", token, beat: 0 });
    // A claim in a store writes no record into the folder. A record that is there belongs to an earlier claim.
    const held = followLeader(place, {
      files: layout.store === null ? { layout, configuration } : null,
      status: { ...status, token },
      graceMs,
      onLook: (looks) => {
        if (looks % looksPerBeat === 0) place.say({ state: "running", token, beat: looks });
      },
    });
    const lock = { ...held, address };
    return { kind: "held", lock: leased === undefined ? lock : bothLocks(leased, lock) };
  };
  const wait: Wait = async (signal) => {
    while (!signal.aborted) {
      const status = search.look();
      if (search.place !== null && status?.state !== "asking") return { acquire, giveUp: () => undefined };
      await sleepUnlessAborted(pollMs, signal);
    }
    return null;
  };
  return {
    store: { acquire },
    conclude: () => {
      const { place } = search;
      if (place === null) return;
      place.leave();
      const status = readStatus(place.statusPath)?.status;
      if (status === undefined) return;
      // Otherwise rank 0 is the last one, and removes the files.
      const isAlone = ["over", "lost", "unclear", "refused"].includes(status.state) || lifeOf(status.leader) === "gone";
      if (isAlone) removeIfAllEnded(place.statusPath, launch.size);
    },
  };
}

interface Followed {
  /** Null: the claim is in a store. This rank holds it as well, and no record in the folder belongs to it. */
  readonly files: { readonly layout: Layout; readonly configuration: Configuration } | null;
  readonly status: RankStatus & { readonly token: string };
  readonly graceMs: number;
  readonly onLook: (looks: number) => void;
}

function followLeader(place: Place, { files, status, graceMs, onLook }: Followed) {
  const path = place.statusPath;
  const { token, generation } = status;
  const lost = new AbortController();
  const beats = new Beats(watchMs);
  let endedAt: number | null = null;
  let looks = 0;
  const whyOver = async (found: Followed["status"], silent: number) => {
    if (files !== null) return leaderEnd(files.layout, files.configuration, found, silent);
    // One that has ended as it should is gone, too.
    return endedAt === null ? leasedLeaderEnd(found, silent) : null;
  };
  const look = async () => {
    const found = readStatus(path)?.status ?? status;
    if (found.state === "ended" || found.state === "over") endedAt ??= performance.now();
    if (found.state === "lost") lose("rank 0 has lost it");
    else if (endedAt !== null && performance.now() - endedAt > graceMs) lose("rank 0 has ended");
    else {
      const silent = found.state === "held" ? beats.unchanged(path, found.beat) : 0;
      const why = await whyOver({ ...found, token }, silent);
      if (why !== null) lose(why);
    }
    looks += 1;
  };
  /** How the earlier runs ended, as rank 0 has written it into the marker's record. */
  const endsWritten = () => {
    const folder = files?.layout.weightsDir(files.configuration);
    const written = folder === undefined ? null : recordIn(readMarkerRecord(folder).reading);
    return (written?.trainlock?.token === token ? written.trainlock.ends : null) ?? noEarlierRuns.ends;
  };
  const lose = (why: string) => {
    clearInterval(watching);
    lost.abort(new LockLostError(why));
  };
  const lookAndSay = async () => {
    await look();
    if (!lost.signal.aborted) onLook(looks);
  };
  const watching = setInterval(() => void lookAndSay().catch(ignoreOutage), watchMs);
  return {
    token,
    generation,
    lost: lost.signal,
    descriptors: place.descriptors,
    earlier: { ...noEarlierRuns, ends: endsWritten() },
    recordChild: async () => undefined,
    recordTree: (processes: readonly ProcessIdentity[]) => {
      const unmarked = processes.filter(({ pid }) => !isCarrier(pid, token));
      try {
        place.noteUnmarked(unmarked);
      } catch (error) {
        ignoreOutage(error);
      }
    },
    check: look,
    assertHeld: async () => {
      await look();
      lost.signal.throwIfAborted();
    },
    release: async () => clearInterval(watching),
  };
}

/** A file system that does not answer proves no loss. */
function ignoreOutage(error: unknown): void {
  if (!(error instanceof EnvironmentError)) throw error;
}
