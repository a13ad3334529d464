import type { EtcdClient, LeaseId } from "../../etcd/client.ts";
import type { KeptClaim } from "./kept-claim.ts";
import type { LeaseTimes } from "./lease-times.ts";
import { makeClaim } from "./make-claim.ts";

export interface KeeperEvents {
  /** A claim's key was gone, nobody had claimed since, and it is there again. */
  reclaimed(id: string, revision: number): void;
  /** `stopByMs`: until then nobody else has it, by the keeper's clock; null: somebody may have it already. */
  lost(id: string, why: string, stopByMs: number | null): void;
}

export interface LeaseState {
  readonly lease: LeaseId;
  /** When the last renewal that was confirmed was sent, by the keeper's clock. */
  readonly confirmedAtMs: number;
}

export interface LeaseKeeper {
  state(): LeaseState;
  /** From now on under a new lease: there are no claims under the old one. */
  begin(state: LeaseState): void;
  add(id: string, claim: KeptClaim): void;
  /** Changes what is written in a claim's key. */
  rewrite(id: string, value: Buffer): void;
  /** Deletes a claim's key; `last`: by ending the lease, under which there is nothing else then. */
  remove(id: string, last: boolean): Promise<void>;
  /** Renews now, once. */
  renew(): Promise<void>;
  /** Ends the lease, and with it whatever is left under it. */
  giveUp(): Promise<void>;
}

/** A timer that is so late tells that the process was stopped, or the machine suspended. */
const wokenAfterMs = 1000;
/** How long a process that has woken up may ask whether it still has its claims, before it gives them up. */
const wokenPatienceMs = 700;
/** Renewals under way at most: enough for those that a line swallows not to keep the next from being tried. */
const mostRequests = 16;
/** Comparisons of one transaction: etcd's --max-txn-ops is 128. */
const claimsAtOnce = 100;

/**
 * Renews a lease in time, proves each time that all claims under it still are what they were, and gives up what cannot be
 * proved before the lease may have ended. A renewal counts from when it was sent, and only once a quorum has answered after
 * it: a leader that was voted out renews leases that it no longer decides about.
 */
export function keepLease(
  client: EtcdClient,
  times: LeaseTimes,
  clock: () => number,
  initial: LeaseState,
  events: KeeperEvents,
): LeaseKeeper {
  const limits = { timeoutMs: times.requestMs };
  const claims = new Map<string, KeptClaim>();
  const unwritten = new Set<string>();
  let { lease, confirmedAtMs } = initial;
  let dueAtMs = clock();
  let tickedAtMs = dueAtMs;
  let patientUntilMs = 0;
  let requests = 0;
  let turn = 0;
  let lastFault = "";
  let mending: Promise<void> | null = null;

  const confirm = (sentAtMs: number) => {
    confirmedAtMs = Math.max(confirmedAtMs, sentAtMs);
    dueAtMs = confirmedAtMs + times.renewEveryMs;
  };
  const lose = (id: string, why: string, stopByMs: number | null) => {
    if (claims.delete(id)) events.lost(id, why, stopByMs);
  };

  /** The claims whose keys are not what they were. */
  const changedClaims = async (at: EtcdClient): Promise<[string, KeptClaim][]> => {
    const asked = [...claims];
    const changed: [string, KeptClaim][] = [];
    for (let from = 0; from === 0 || from < asked.length; from += claimsAtOnce) {
      const some = asked.slice(from, from + claimsAtOnce);
      const keys = some.map(([, { lock }]) => lock);
      const unchanged = some.map(([, { lock, revision }]) => ({ key: lock, createRevision: revision }));
      const result = await at.transact({ if: unchanged, then: [], elseGet: keys }, limits);
      if (result.done) continue;
      changed.push(...some.filter(([, { revision }], index) => result.found[index]?.createRevision !== revision));
    }
    // What was removed or made again meanwhile is not meant.
    return changed.filter(([id, claim]) => claims.get(id) === claim);
  };

  const reclaim = async (at: EtcdClient, id: string, claim: KeptClaim, under: LeaseId) => {
    const made = await makeClaim(at, claim, under, claim.revision, limits);
    if (claims.get(id) !== claim) return;
    if (made.kind === "taken") {
      const how =
        made.by === null ? "another claim has been made since, and has ended" : "another has claimed it since";
      return lose(id, `its key ${claim.lock} was gone, and ${how}`, null);
    }
    claims.set(id, { ...claim, revision: made.revision });
    if (made.revision !== claim.revision) events.reclaimed(id, made.revision);
  };

  /** The lease is gone, or keys under it are: makes again what nobody has taken. */
  const mend = async (at: EtcdClient, changed: readonly [string, KeptClaim][] | "all") => {
    let under = lease;
    const grantedAtMs = clock();
    if (changed === "all") under = (await at.grant(Math.ceil(times.ttlMs / 1000), limits)).lease;
    for (const [id, claim] of changed === "all" ? [...claims] : changed) await reclaim(at, id, claim, under);
    if (changed !== "all") return;
    lease = under;
    confirm(grantedAtMs);
  };

  const renewBy = async (at: EtcdClient) => {
    const [mine, sentAtMs] = [lease, clock()];
    const seconds = await at.keepAlive(mine, limits);
    const changed = seconds > 0 ? await changedClaims(at) : "all";
    if (mine !== lease || claims.size === 0) return;
    if (changed.length === 0) return confirm(sentAtMs);
    mending ??= mend(at, changed).finally(() => {
      mending = null;
    });
    await mending;
  };

  const writeRest = async (at: EtcdClient) => {
    for (const id of unwritten) {
      const claim = claims.get(id);
      if (claim !== undefined) {
        const { lock, revision, value } = claim;
        const then = [{ put: lock, value, lease }];
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
      lastFault = error instanceof Error ? error.message : String(error);
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
    if (claims.size === 0) return;
    if (now >= Math.max(confirmedAtMs + times.stopAfterMs, patientUntilMs)) {
      const silentS = ((now - confirmedAtMs) / 1000).toFixed(1);
      const why = `its lease could not be renewed for ${silentS} s (${lastFault || "no answer"})`;
      for (const id of [...claims.keys()]) lose(id, why, confirmedAtMs + times.killAfterMs);
    } else if (now >= dueAtMs && requests < mostRequests) void attempt();
  };
  const ticking = setInterval(tick, Math.min(200, times.renewEveryMs / 2));

  return {
    state: () => ({ lease, confirmedAtMs }),
    begin: (state) => {
      ({ lease, confirmedAtMs } = state);
      dueAtMs = confirmedAtMs + times.renewEveryMs;
    },
    add: (id, claim) => claims.set(id, claim),
    rewrite: (id, value) => {
      const claim = claims.get(id);
      if (claim === undefined) return;
      claims.set(id, { ...claim, value });
      unwritten.add(id);
      dueAtMs = clock();
    },
    remove: async (id, last) => {
      await mending?.catch(() => undefined);
      const claim = claims.get(id);
      claims.delete(id);
      if (last) return void (await client.revoke(lease));
      if (claim === undefined) return;
      const { lock, revision } = claim;
      await client.transact({ if: [{ key: lock, createRevision: revision }], then: [{ delete: lock }], elseGet: [] });
    },
    renew: async () => {
      await mending?.catch(() => undefined);
      await attempt();
    },
    giveUp: async () => {
      clearInterval(ticking);
      await mending?.catch(() => undefined);
      if (claims.size === 0) return;
      claims.clear();
      await client.revoke(lease);
    },
  };
}
