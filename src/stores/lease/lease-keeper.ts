import type { EtcdClient, LeaseId } from "../../etcd/client.ts";
import { codes, hasCode } from "../../etcd/failures.ts";
import { messageOf } from "../../model/errors.ts";
import {
  type ClaimResult,
  changedClaims,
  makeClaim,
  type NewClaim,
  ownKey,
  unmakeClaim,
} from "./claim-transactions.ts";
import type { KeptClaim } from "./kept-claim.ts";
import { type LeaseTimes, leaseTimes } from "./lease-times.ts";

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

/** A timer that is so late shows that the process was stopped, or the machine suspended. */
const wokenAfterMs = 1000;
/** How long a process that has woken up may ask whether it still has its claims, before it gives them up. */
const wokenPatienceMs = 700;
/** When another has claimed: until nothing of the command is left. It is to stop now, not to save anything. */
const overtakenGraceMs = 700;
/** Renewals under way at most: so many that some may hang without keeping the next from being tried. */
const mostRequests = 16;

/**
 * One lease and all claims under it. The keeper makes the claims and renews the lease in time. Each time it proves that every
 * claim is unchanged. A claim that cannot be proved is given up before the lease may have ended. A renewal counts from when
 * it was sent, and only after a quorum has answered since: a leader that was voted out renews leases that it no longer
 * decides about.
 */
export class LeaseKeeper {
  readonly #client: EtcdClient;
  readonly #isJoined: boolean;
  #times: LeaseTimes;
  readonly #clock: () => number;
  readonly #events: KeeperEvents;
  /** `once`: the answer to a second try may come from under another leader than the answer before it. */
  readonly #limits: { readonly timeoutMs: number; readonly once: true };
  readonly #claims = new Map<string, KeptClaim>();
  readonly #unwritten = new Set<string>();
  /** Keys of ours that nobody needs any more, by token. */
  readonly #unwanted = new Map<string, NewClaim>();
  readonly #leaving = new Set<Promise<unknown>>();
  readonly #ticking: NodeJS.Timeout;
  #current: LeaseState | null;
  #granting: Promise<LeaseState> | null = null;
  #mending: Promise<void> | null = null;
  /** Claims that are being made. */
  #claiming = 0;
  #dueAtMs: number;
  #tickedAtMs: number;
  #patientUntilMs = 0;
  #requests = 0;
  /** The endpoint whose turn it is. */
  #turn = 0;
  #lastFault = "";

  /**
   * `resume`: the lease that a keeper before this one has kept; null: there is none yet. `isJoined`: it keeps one claim that the
   * keeper of another process has made and keeps, too.
   */
  constructor(
    client: EtcdClient,
    times: LeaseTimes,
    clock: () => number,
    resume: LeaseState | null,
    events: KeeperEvents,
    isJoined = false,
  ) {
    this.#client = client;
    this.#isJoined = isJoined;
    this.#times = times;
    this.#clock = clock;
    this.#events = events;
    this.#limits = { timeoutMs: times.requestMs, once: true };
    this.#current = resume;
    this.#dueAtMs = clock();
    this.#tickedAtMs = this.#dueAtMs;
    this.#ticking = setInterval(() => this.#tick(), Math.min(200, times.renewEveryMs / 2));
  }

  /** Null: there is no lease, for there is no claim. */
  state(): LeaseState | null {
    return this.#current;
  }

  /** One attempt. A claim that is made is kept from then on. */
  async claim(id: string, claim: NewClaim): Promise<ClaimResult> {
    this.#claiming += 1;
    try {
      return await this.#claimOnce(id, claim);
    } catch (error) {
      this.#unwanted.set(claim.token, claim);
      throw error;
    } finally {
      this.#claiming -= 1;
      if (this.#isIdle()) await this.#endLease().catch(() => undefined);
    }
  }

  /** Keeps a claim that is there already, under the lease of `resume`. */
  adopt(id: string, claim: KeptClaim): void {
    this.#claims.set(id, claim);
  }

  /** Changes what is written in a claim's key. */
  rewrite(id: string, value: Buffer): void {
    const claim = this.#claims.get(id);
    if (claim === undefined) return;
    this.#claims.set(id, { ...claim, value });
    this.#unwritten.add(id);
    this.#dueAtMs = this.#clock();
  }

  /** Deletes a claim's key. A key that cannot be deleted now is deleted as soon as it can be, and is not kept alive. */
  async remove(id: string): Promise<void> {
    await this.#mending?.catch(() => undefined);
    const claim = this.#claims.get(id);
    this.#claims.delete(id);
    if (this.#isIdle()) return this.#endLease();
    if (claim === undefined) return;
    const { lock, revision } = claim;
    const deletion = { if: [{ key: lock, createRevision: revision }], then: [{ delete: lock }], elseGet: [] };
    try {
      if (!(await this.#client.transact(deletion)).done) await unmakeClaim(this.#client, claim);
    } catch (error) {
      this.#unwanted.set(claim.token, claim);
      throw error;
    }
  }

  /** Forgets a claim that another process releases. */
  leave(id: string): void {
    this.#claims.delete(id);
  }

  /** Renews now, once. */
  async renew(): Promise<void> {
    await this.#mending?.catch(() => undefined);
    await this.#attempt();
  }

  /** Ends the lease, and with it whatever is left under it. */
  async giveUp(): Promise<void> {
    clearInterval(this.#ticking);
    await Promise.allSettled([this.#mending, ...this.#leaving]);
    if (this.#claims.size > 0) await this.#endLease();
  }

  #isIdle(): boolean {
    return this.#claims.size === 0 && this.#claiming === 0;
  }

  /** `provedAtMs`: until when claims are proved that are to be made again under it; null: there are none. */
  #grant(at: EtcdClient, provedAtMs: number | null): Promise<LeaseState> {
    const confirmedAtMs = provedAtMs ?? this.#clock();
    this.#granting ??= at
      .grant(Math.ceil(this.#times.ttlMs / 1000), this.#limits)
      .then(({ lease }) => {
        this.#current = { lease, confirmedAtMs };
        return this.#current;
      })
      .finally(() => {
        this.#granting = null;
      });
    return this.#granting;
  }

  /** What a member of another cluster calls free is not. */
  async #firstLease(): Promise<LeaseState> {
    const compared = this.#client.requireOneCluster();
    compared.catch(() => undefined);
    const granted = await this.#grant(this.#client, null);
    await compared;
    return granted;
  }

  /** The lease to claim under: one that is renewed for other claims, or that will last long enough to be. */
  async #leaseForClaim(): Promise<LeaseState> {
    await this.#mending?.catch(() => undefined);
    const current = this.#current;
    if (current === null) return this.#firstLease();
    const lasts = this.#claims.size > 0 || this.#clock() - current.confirmedAtMs < this.#times.ttlMs / 2;
    return lasts ? current : this.#grant(this.#client, null);
  }

  async #claimOnce(id: string, claim: NewClaim): Promise<ClaimResult> {
    const { lease } = await this.#leaseForClaim();
    const result = await makeClaim(this.#client, claim, lease, null).catch(async (error: unknown) => {
      if (!hasCode(error, codes.leaseNotFound)) throw error;
      if (this.#claims.size > 0) await this.#attempt();
      else if (this.#current?.lease === lease) this.#current = null;
      return makeClaim(this.#client, claim, (await this.#leaseForClaim()).lease, null);
    });
    if (result.kind === "made") this.#claims.set(id, { ...claim, revision: result.revision });
    return result;
  }

  #tick(): void {
    const now = this.#clock();
    if (now - this.#tickedAtMs > wokenAfterMs) {
      this.#patientUntilMs = now + wokenPatienceMs;
      this.#dueAtMs = now;
    }
    this.#tickedAtMs = now;
    if (this.#claims.size === 0 || this.#current === null) return;
    const { confirmedAtMs } = this.#current;
    if (now >= Math.max(confirmedAtMs + this.#times.stopAfterMs, this.#patientUntilMs)) {
      const silentS = ((now - confirmedAtMs) / 1000).toFixed(1);
      const why = `its lease could not be renewed for ${silentS} s (${this.#lastFault || "no answer"})`;
      for (const id of [...this.#claims.keys()]) this.#lose(id, why, confirmedAtMs + this.#times.killAfterMs);
    } else if (now >= this.#dueAtMs && this.#requests < mostRequests) void this.#attempt();
  }

  /** Asks the endpoint whose turn it is for a renewal, and writes what is still to be written. */
  async #attempt(): Promise<void> {
    const { endpoints } = this.#client;
    const endpoint = endpoints[this.#turn % endpoints.length] ?? "";
    this.#requests += 1;
    this.#turn += 1;
    this.#dueAtMs = this.#clock() + this.#times.askNextMs;
    try {
      const at = this.#client.at(endpoint);
      await this.#renewAt(at);
      // It has answered: the next renewal goes to it as well.
      this.#turn = endpoints.indexOf(endpoint);
      await this.#writeRest(at);
    } catch (error) {
      this.#lastFault = messageOf(error);
      this.#dueAtMs = Math.min(this.#dueAtMs, this.#clock() + this.#times.retryMs);
    } finally {
      this.#requests -= 1;
    }
  }

  async #renewAt(at: EtcdClient): Promise<void> {
    const [lease, sentAtMs] = [this.#current, this.#clock()];
    if (lease === null) return;
    const seconds = await at.keepAlive(lease.lease, this.#limits);
    // The process that has made the claim may have asked for less.
    if (seconds > 0 && seconds * 1000 < this.#times.ttlMs) this.#times = leaseTimes(seconds * 1000);
    const changed = seconds > 0 ? await changedClaims(at, lease.lease, this.#claims, this.#limits) : "all";
    if (lease.lease !== this.#current?.lease || this.#claims.size === 0) return;
    if (changed.length === 0) return this.#confirm(lease, sentAtMs);
    this.#mending ??= this.#mend(at, lease, changed).finally(() => {
      this.#mending = null;
    });
    await this.#mending;
  }

  #confirm({ lease }: LeaseState, sentAtMs: number): void {
    if (this.#current?.lease !== lease) return;
    const confirmedAtMs = Math.max(this.#current.confirmedAtMs, sentAtMs);
    this.#current = { lease, confirmedAtMs };
    this.#dueAtMs = confirmedAtMs + this.#times.renewEveryMs;
  }

  /** The lease is gone, or keys under it are: makes again what nobody has taken. */
  async #mend(at: EtcdClient, lease: LeaseState, changed: readonly [string, KeptClaim][] | "all"): Promise<void> {
    const sentAtMs = this.#clock();
    if (this.#isJoined && (await this.#joinAgain(at, lease))) return;
    const isGone = changed === "all" && this.#current?.lease === lease.lease;
    const under = isGone ? await this.#grant(at, lease.confirmedAtMs) : this.#current;
    if (under === null) return;
    for (const [id, claim] of changed === "all" ? [...this.#claims] : changed)
      await this.#reclaim(at, id, claim, under.lease);
    if (isGone) this.#confirm(under, sentAtMs);
  }

  /**
   * Where several keepers make the same claim again, one lease has to win: a keeper that has joined goes over to the lease that the
   * key is under. False: there is no such key.
   */
  async #joinAgain(at: EtcdClient, before: LeaseState): Promise<boolean> {
    const [[id, claim] = []] = this.#claims;
    if (id === undefined || claim === undefined) return false;
    const found = await ownKey(at, claim, this.#limits);
    if (found?.lease == null || this.#claims.get(id) !== claim) return false;
    if (this.#current?.lease === before.lease) this.#current = { ...before, lease: found.lease };
    this.#dueAtMs = this.#clock();
    if (found.createRevision !== claim.revision) {
      this.#claims.set(id, { ...claim, revision: found.createRevision });
      this.#events.reclaimed(id, found.createRevision);
    }
    return true;
  }

  async #reclaim(at: EtcdClient, id: string, claim: KeptClaim, lease: LeaseId): Promise<void> {
    if (this.#claims.get(id) !== claim) return;
    const result = await makeClaim(at, claim, lease, claim.revision, this.#limits);
    const now = this.#claims.get(id);
    if (now === undefined) {
      if (result.kind === "made") this.#unwanted.set(claim.token, claim);
      return;
    }
    if (result.kind === "taken") {
      const how =
        result.by === null ? "another claim has been made since, and has ended" : "another has claimed it since";
      return this.#lose(id, `its key ${claim.lock} was gone, and ${how}`, this.#clock() + overtakenGraceMs);
    }
    this.#claims.set(id, { ...now, revision: result.revision });
    if (result.revision !== claim.revision) this.#events.reclaimed(id, result.revision);
  }

  #lose(id: string, why: string, stopByMs: number): void {
    if (this.#claims.delete(id)) this.#events.lost(id, why, stopByMs);
  }

  async #writeRest(at: EtcdClient): Promise<void> {
    for (const [token, claim] of this.#unwanted) {
      await unmakeClaim(at, claim, this.#limits);
      this.#unwanted.delete(token);
    }
    for (const id of this.#unwritten) {
      const claim = this.#claims.get(id);
      if (claim !== undefined && this.#current !== null) {
        const { lock, revision, value } = claim;
        const then = [{ put: lock, value, lease: this.#current.lease }];
        await at.transact({ if: [{ key: lock, createRevision: revision }], then, elseGet: [] }, this.#limits);
      }
      if (this.#claims.get(id) === claim) this.#unwritten.delete(id);
    }
  }

  /** Where there is nothing left under a lease, its end deletes what is still to be deleted, in one request. */
  async #endLease(): Promise<void> {
    const ending = this.#current;
    this.#current = null;
    if (ending === null) return;
    const revoking = this.#client.revoke(ending.lease);
    this.#leaving.add(revoking);
    try {
      await revoking;
    } finally {
      this.#leaving.delete(revoking);
    }
  }
}
