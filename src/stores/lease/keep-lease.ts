import type { EtcdClient, LeaseId } from "../../etcd/client.ts";
import { codes, hasCode } from "../../etcd/failures.ts";
import { messageOf } from "../../model/errors.ts";
import type { KeptClaim } from "./kept-claim.ts";
import type { LeaseTimes } from "./lease-times.ts";
import { type Made, makeClaim, unmakeClaim, type Wish } from "./make-claim.ts";
import { changedClaims } from "./prove-claims.ts";

export interface KeeperEvents {
  /** A claim's key was gone, nobody had claimed since, and it is there again. */
  reclaimed(id: string, revision: number): void;
  /** `stopByMs`: by then nothing of the command may be left, by the keeper's clock. */
  lost(id: string, why: string, stopByMs: number): void;
}

export interface LeaseState {
  readonly lease: LeaseId;
  /** When the last renewal that was confirmed was sent, by the keeper's clock. */
  readonly confirmedAtMs: number;
}

export interface LeaseKeeper {
  /** Null: there is no lease, for there is no claim. */
  state(): LeaseState | null;
  /** One attempt; what is made is kept from then on. */
  claim(id: string, wish: Wish): Promise<Made>;
  /** A claim that is there, under the lease of `resume`. */
  adopt(id: string, claim: KeptClaim): void;
  /** Changes what is written in a claim's key. */
  rewrite(id: string, value: Buffer): void;
  /** Deletes a claim's key. What cannot be deleted now is deleted as soon as it can be, and kept alive by nobody. */
  remove(id: string): Promise<void>;
  /** Forgets a claim that another gives back. */
  leave(id: string): void;
  /** Renews now, once. */
  renew(): Promise<void>;
  /** Ends the lease, and with it whatever is left under it. */
  giveUp(): Promise<void>;
}

/** A timer that is so late tells that the process was stopped, or the machine suspended. */
const wokenAfterMs = 1000;
/** How long a process that has woken up may ask whether it still has its claims, before it gives them up. */
const wokenPatienceMs = 700;
/** From the news that another has claimed, until nothing of the command is left: it is to stop, not to save anything. */
const overtakenGraceMs = 700;
/** Renewals under way at most: enough for those that a line swallows not to keep the next from being tried. */
const mostRequests = 16;

/**
 * One lease and all claims under it: makes them, renews the lease in time, proves each time that every claim still is what it
 * was, and gives up what cannot be proved before the lease may have ended. A renewal counts from when it was sent, and only
 * once a quorum has answered after it: a leader that was voted out renews leases that it no longer decides about.
 */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: the lease's state is shared by all functions in it; to become a class.
export function keepLease(
  client: EtcdClient,
  times: LeaseTimes,
  clock: () => number,
  resume: LeaseState | null,
  events: KeeperEvents,
): LeaseKeeper {
  // Once: an answer after a retry may come from under another leader than the one before it.
  const limits = { timeoutMs: times.requestMs, once: true };
  const claims = new Map<string, KeptClaim>();
  const unwritten = new Set<string>();
  /** Keys of ours that nobody wants any more, by token. */
  const unwanted = new Map<string, Wish>();
  let current: LeaseState | null = resume;
  let granting: Promise<LeaseState> | null = null;
  let claiming = 0;
  let dueAtMs = clock();
  let tickedAtMs = dueAtMs;
  let patientUntilMs = 0;
  let requests = 0;
  let turn = 0;
  let lastFault = "";
  let mending: Promise<void> | null = null;
  const leaving = new Set<Promise<unknown>>();

  /** `provedAtMs`: until when claims are proved that are to be made again under it; null: there are none. */
  const grant = (at: EtcdClient, provedAtMs: number | null): Promise<LeaseState> => {
    const confirmedAtMs = provedAtMs ?? clock();
    granting ??= at
      .grant(Math.ceil(times.ttlMs / 1000), limits)
      .then(({ lease }) => {
        current = { lease, confirmedAtMs };
        return current;
      })
      .finally(() => {
        granting = null;
      });
    return granting;
  };
  /** The lease to claim under: one that is renewed for other claims, or that will last long enough to be. */
  const leaseForClaim = async (): Promise<LeaseState> => {
    await mending?.catch(() => undefined);
    const lasts = current !== null && (claims.size > 0 || clock() - current.confirmedAtMs < times.ttlMs / 2);
    return lasts && current !== null ? current : grant(client, null);
  };
  const confirm = (mine: LeaseState, sentAtMs: number) => {
    if (current?.lease !== mine.lease) return;
    current = { lease: mine.lease, confirmedAtMs: Math.max(current.confirmedAtMs, sentAtMs) };
    dueAtMs = current.confirmedAtMs + times.renewEveryMs;
  };
  const lose = (id: string, why: string, stopByMs: number) => {
    if (claims.delete(id)) events.lost(id, why, stopByMs);
  };

  const reclaim = async (at: EtcdClient, id: string, claim: KeptClaim, under: LeaseId) => {
    if (claims.get(id) !== claim) return;
    const made = await makeClaim(at, claim, under, claim.revision, limits);
    const now = claims.get(id);
    if (now === undefined) {
      if (made.kind === "made") unwanted.set(claim.token, claim);
      return;
    }
    if (made.kind === "taken") {
      const how =
        made.by === null ? "another claim has been made since, and has ended" : "another has claimed it since";
      return lose(id, `its key ${claim.lock} was gone, and ${how}`, clock() + overtakenGraceMs);
    }
    claims.set(id, { ...now, revision: made.revision });
    if (made.revision !== claim.revision) events.reclaimed(id, made.revision);
  };
  /** The lease is gone, or keys under it are: makes again what nobody has taken. */
  const mend = async (at: EtcdClient, mine: LeaseState, changed: readonly [string, KeptClaim][] | "all") => {
    const sentAtMs = clock();
    const isGone = changed === "all" && current?.lease === mine.lease;
    const under = isGone ? await grant(at, mine.confirmedAtMs) : current;
    if (under === null) return;
    for (const [id, claim] of changed === "all" ? [...claims] : changed) await reclaim(at, id, claim, under.lease);
    if (isGone) confirm(under, sentAtMs);
  };

  const renewBy = async (at: EtcdClient) => {
    const [mine, sentAtMs] = [current, clock()];
    if (mine === null) return;
    const seconds = await at.keepAlive(mine.lease, limits);
    const changed = seconds > 0 ? await changedClaims(at, mine.lease, claims, limits) : "all";
    if (mine.lease !== current?.lease || claims.size === 0) return;
    if (changed.length === 0) return confirm(mine, sentAtMs);
    mending ??= mend(at, mine, changed).finally(() => {
      mending = null;
    });
    await mending;
  };

  const writeRest = async (at: EtcdClient) => {
    for (const [token, wish] of unwanted) {
      await unmakeClaim(at, wish, limits);
      unwanted.delete(token);
    }
    for (const id of unwritten) {
      const claim = claims.get(id);
      if (claim !== undefined && current !== null) {
        const { lock, revision, value } = claim;
        const then = [{ put: lock, value, lease: current.lease }];
        await at.transact({ if: [{ key: lock, createRevision: revision }], then, elseGet: [] }, limits);
      }
      if (claims.get(id) === claim) unwritten.delete(id);
    }
  };

  const attempt = async () => {
    const endpoint = client.endpoints[turn % client.endpoints.length] ?? "";
    requests += 1;
    turn += 1;
    dueAtMs = clock() + times.askNextMs;
    try {
      const at = client.at(endpoint);
      await renewBy(at);
      // It has answered: the next renewal is for it as well.
      turn = client.endpoints.indexOf(endpoint);
      await writeRest(at);
    } catch (error) {
      lastFault = messageOf(error);
      dueAtMs = Math.min(dueAtMs, clock() + times.retryMs);
    } finally {
      requests -= 1;
    }
  };

  const tick = () => {
    const now = clock();
    if (now - tickedAtMs > wokenAfterMs) {
      patientUntilMs = now + wokenPatienceMs;
      dueAtMs = now;
    }
    tickedAtMs = now;
    if (claims.size === 0 || current === null) return;
    if (now >= Math.max(current.confirmedAtMs + times.stopAfterMs, patientUntilMs)) {
      const silentS = ((now - current.confirmedAtMs) / 1000).toFixed(1);
      const why = `its lease could not be renewed for ${silentS} s (${lastFault || "no answer"})`;
      for (const id of [...claims.keys()]) lose(id, why, current.confirmedAtMs + times.killAfterMs);
    } else if (now >= dueAtMs && requests < mostRequests) void attempt();
  };
  const ticking = setInterval(tick, Math.min(200, times.renewEveryMs / 2));

  /** Where there is nothing left under a lease, its end deletes what is on its way out, in one request. */
  const endLease = async () => {
    const ending = current;
    current = null;
    if (ending !== null) await client.revoke(ending.lease);
  };
  const track = async <T>(work: Promise<T>): Promise<T> => {
    leaving.add(work);
    try {
      return await work;
    } finally {
      leaving.delete(work);
    }
  };

  const claimOnce = async (id: string, wish: Wish): Promise<Made> => {
    const { lease } = await leaseForClaim();
    const made = await makeClaim(client, wish, lease, null).catch(async (error: unknown) => {
      if (!hasCode(error, codes.leaseNotFound)) throw error;
      if (claims.size > 0) await attempt();
      else if (current?.lease === lease) current = null;
      return makeClaim(client, wish, (await leaseForClaim()).lease, null);
    });
    if (made.kind === "made") claims.set(id, { ...wish, revision: made.revision });
    return made;
  };

  return {
    state: () => current,
    claim: async (id, wish) => {
      claiming += 1;
      try {
        return await claimOnce(id, wish);
      } catch (error) {
        unwanted.set(wish.token, wish);
        throw error;
      } finally {
        claiming -= 1;
        if (claims.size === 0 && claiming === 0) await track(endLease()).catch(() => undefined);
      }
    },
    adopt: (id, claim) => claims.set(id, claim),
    rewrite: (id, value) => {
      const claim = claims.get(id);
      if (claim === undefined) return;
      claims.set(id, { ...claim, value });
      unwritten.add(id);
      dueAtMs = clock();
    },
    remove: async (id) => {
      await mending?.catch(() => undefined);
      const claim = claims.get(id);
      claims.delete(id);
      if (claims.size === 0 && claiming === 0) return track(endLease());
      if (claim === undefined) return;
      const { lock, revision } = claim;
      const deletion = { if: [{ key: lock, createRevision: revision }], then: [{ delete: lock }], elseGet: [] };
      try {
        if (!(await client.transact(deletion)).done) await unmakeClaim(client, claim);
      } catch (error) {
        unwanted.set(claim.token, claim);
        throw error;
      }
    },
    leave: (id) => void claims.delete(id),
    renew: async () => {
      await mending?.catch(() => undefined);
      await attempt();
    },
    giveUp: async () => {
      clearInterval(ticking);
      await Promise.allSettled([mending, ...leaving]);
      if (claims.size > 0) await endLease();
    },
  };
}
