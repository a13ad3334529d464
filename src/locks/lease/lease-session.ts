import type { EtcdAccess, EtcdAddress } from "../../etcd/address.ts";
import type { EtcdClient } from "../../etcd/client.ts";
import { codes, hasCode } from "../../etcd/failures.ts";
import { EnvironmentError } from "../../model/errors.ts";
import { bootMs } from "../../system/boot-time.ts";
import { sleep } from "../../system/sleep.ts";
import { type KeeperLink, linkKeeper } from "./keeper-link.ts";
import type { Guard, LeaseOf, Report } from "./keeper-messages.ts";
import type { KeptClaim } from "./kept-claim.ts";
import { leaseTimes } from "./lease-times.ts";
import { type Made, makeClaim } from "./make-claim.ts";
import { ownKeeperCommand } from "./start-keeper.ts";

export interface SessionOptions {
  readonly client: EtcdClient;
  readonly address: EtcdAddress;
  readonly access: EtcdAccess;
  /** Time to live of the lease, milliseconds. */
  readonly ttlMs: number;
  /** What is stopped when a claim is lost; null: a program that looks after itself. */
  readonly guard: Guard | null;
  /** The program that keeps the lease; else this one. */
  readonly keeperCommand?: readonly [string, ...string[]];
}

export interface ClaimEvents {
  reclaimed(revision: number): void;
  lost(why: string, stopByMs: number | null): void;
}

/** One lease, its keeper, and the claims that this process has under it. */
export interface LeaseSession {
  /** One attempt. What was made is kept from then on: nothing is made without a keeper that has heard of it. */
  claim(wish: Omit<KeptClaim, "revision">, events: ClaimEvents): Promise<Made>;
  guard(token: string, group: number, value: Buffer): void;
  /** Renews now. */
  renew(): Promise<void>;
  /**
   * Gives a claim back. Resolves with what kept the store from hearing of it; the lease ends by itself then. One that was lost
   * is given back as far as that does not take long.
   */
  remove(token: string, wasLost: boolean): Promise<string | null>;
}

const watchEveryMs = 500;
/** A keeper says twice a second that it is alive. */
const silenceMs = 2000;
const wokenAfterMs = 1000;
const wokenPatienceMs = 700;
const answerPatienceMs = 6000;
const lostPatienceMs = 500;
/** The keeper gives a claim up first; this is for when it cannot. */
const latenessMs = 300;
const endPatienceMs = 300;
/** A keeper without a claim waits so long for the next one. */
const idleMs = 2000;

export function openSession(options: SessionOptions): LeaseSession {
  const { client, address, access, ttlMs, guard, keeperCommand = ownKeeperCommand() } = options;
  const times = leaseTimes(ttlMs);
  const held = new Map<string, { claim: KeptClaim; group: number | null; readonly events: ClaimEvents }>();
  let current: LeaseOf | null = null;
  let keeper: KeeperLink | null = null;
  let heardAtMs = bootMs();
  let watching: NodeJS.Timeout | undefined;
  let idle: NodeJS.Timeout | undefined;
  let claiming = 0;

  const lose = (token: string, why: string, stopByMs: number | null) => {
    const lost = held.get(token);
    if (!held.delete(token) || lost === undefined) return;
    keeper?.tell({ do: "stopping" });
    lost.events.lost(why, stopByMs);
  };
  const receive = (report: Extract<Report, { say: "alive" | "reclaimed" | "lost" }>) => {
    heardAtMs = bootMs();
    if (report.say === "alive") {
      current = { lease: report.lease, confirmedAtMs: report.confirmedAtMs };
      keeper?.tell({ do: "seen" });
    } else if (report.say === "lost") lose(report.id, report.why, report.stopByMs);
    else {
      const mine = held.get(report.id);
      if (mine === undefined) return;
      mine.claim = { ...mine.claim, revision: report.revision };
      mine.events.reclaimed(report.revision);
    }
  };

  const start = (lease: LeaseOf): KeeperLink => {
    heardAtMs = bootMs();
    const link = linkKeeper(keeperCommand, receive, () => {
      if (keeper === link) keeper = null;
    });
    keeper = link;
    link.ready.catch(() => undefined);
    link.tell({ do: "begin", address, access, ttlMs, guard, ...lease });
    return link;
  };
  const hand = (link: KeeperLink, { claim, group }: { claim: KeptClaim; group: number | null }) => {
    const { token: id, value, ...keys } = claim;
    link.tell({ do: "add", id, token: id, value: value.toString("base64"), ...keys });
    if (group !== null) link.tell({ do: "guard", id, group, value: value.toString("base64") });
  };
  const replaceKeeper = () => {
    if (current === null) return;
    const before = keeper;
    const link = start(current);
    before?.kill();
    for (const mine of held.values()) hand(link, mine);
  };

  let watchedAtMs = bootMs();
  let patientUntilMs = 0;
  const watch = () => {
    const now = bootMs();
    if (now - watchedAtMs > wokenAfterMs) {
      // Stopped or suspended: what the keeper has said meanwhile is still to be read.
      patientUntilMs = now + wokenPatienceMs;
      heardAtMs = now;
      keeper?.tell({ do: "seen" });
    }
    watchedAtMs = now;
    if (held.size === 0 || current === null) return;
    if (now >= Math.max(current.confirmedAtMs + times.stopAfterMs + latenessMs, patientUntilMs)) {
      const stopByMs = current.confirmedAtMs + times.killAfterMs;
      for (const token of [...held.keys()]) lose(token, "its lease is not renewed any more", stopByMs);
    } else if (keeper === null || now - heardAtMs > silenceMs) replaceKeeper();
  };

  const closeKeeper = async () => {
    const unneeded = keeper;
    keeper = null;
    unneeded?.close();
    await unneeded?.ended;
  };
  const leaseToClaimUnder = async (): Promise<LeaseOf> => {
    if (current !== null && bootMs() - current.confirmedAtMs < ttlMs / 2) return current;
    const confirmedAtMs = bootMs();
    const { lease } = await client.grant(Math.ceil(ttlMs / 1000));
    const granted = { lease, confirmedAtMs };
    current = granted;
    keeper?.tell({ do: "lease", ...granted });
    return granted;
  };
  const makeUnderLease = async (wish: Omit<KeptClaim, "revision">): Promise<Made> => {
    const { lease } = await leaseToClaimUnder();
    try {
      return await makeClaim(client, wish, lease, null);
    } catch (error) {
      if (!hasCode(error, codes.leaseNotFound)) throw error;
      // It has ended since it was granted.
      if (current?.lease === lease) current = null;
      return makeClaim(client, wish, (await leaseToClaimUnder()).lease, null);
    }
  };
  const keep = async (claim: KeptClaim, events: ClaimEvents) => {
    const link = keeper ?? start(current ?? (await leaseToClaimUnder()));
    const mine = { claim, group: null, events };
    held.set(claim.token, mine);
    hand(link, mine);
    try {
      await link.ready;
    } catch (error) {
      held.delete(claim.token);
      throw new EnvironmentError(`the lease's keeper could not be started: ${String(error)}`, {
        code: "ERR_KEEPER",
        hint: "a second process of trainlock must be able to run beside the command",
      });
    }
    watchedAtMs = bootMs();
    watching ??= setInterval(watch, watchEveryMs).unref();
  };
  /** Ends a lease under which there is nothing, and will be nothing. */
  const dropUnused = async () => {
    const unused = current;
    if (unused === null || held.size > 0 || claiming > 0) return;
    current = null;
    await client.revoke(unused.lease).catch(() => undefined);
  };

  return {
    claim: async (wish, events) => {
      clearTimeout(idle);
      claiming += 1;
      let made: Made | null = null;
      try {
        made = await makeUnderLease(wish);
        if (made.kind === "made") await keep({ ...wish, revision: made.revision }, events);
        return made;
      } finally {
        claiming -= 1;
        if (!held.has(wish.token)) await dropUnused();
      }
    },
    guard: (token, group, value) => {
      const mine = held.get(token);
      if (mine === undefined) return;
      mine.claim = { ...mine.claim, value };
      mine.group = group;
      keeper?.tell({ do: "guard", id: token, group, value: value.toString("base64") });
    },
    renew: async () => {
      await keeper?.renew(answerPatienceMs);
    },
    remove: async (token, wasLost) => {
      held.delete(token);
      const last = held.size === 0 && claiming === 0;
      const lease = current;
      if (last) {
        clearInterval(watching);
        watching = undefined;
        current = null;
      }
      const removed = await keeper?.remove(token, last, wasLost ? lostPatienceMs : answerPatienceMs);
      if (removed || wasLost) {
        // A command has one claim: its keeper is collected here, for there may be nobody to collect orphans.
        if (last && guard !== null) await Promise.race([closeKeeper(), sleep(endPatienceMs)]);
        else if (last) idle = setTimeout(closeKeeper, idleMs).unref();
        return removed?.fault ?? null;
      }
      keeper?.kill();
      if (!last || lease === null) return "its keeper does not answer";
      // Without its keeper nobody claims it again: the lease can be ended from here.
      return client.revoke(lease.lease).then(
        () => null,
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
    },
  };
}
