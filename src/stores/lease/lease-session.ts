import type { EtcdAccess, EtcdAddress } from "../../etcd/address.ts";
import type { LeaseId } from "../../etcd/client.ts";
import { EtcdError } from "../../etcd/errors.ts";
import { EnvironmentError } from "../../model/errors.ts";
import { bootMs } from "../../system/clock/boot-time.ts";
import { sleep } from "../../system/clock/sleep.ts";
import { randomHex } from "../../system/random.ts";
import { type KeeperLink, linkKeeper, type News } from "./keeper-link.ts";
import type { ClaimText, FaultText, Guard, LeaseOf } from "./keeper-messages.ts";
import type { KeptClaim } from "./kept-claim.ts";
import { leaseTimes } from "./lease-times.ts";
import type { Wish } from "./make-claim.ts";
import { ownKeeperCommand } from "./start-keeper.ts";

export interface SessionOptions {
  readonly address: EtcdAddress;
  readonly access: EtcdAccess;
  /** The token of a login, if there was one. */
  readonly loginToken?: () => string | null;
  /** Time to live of the lease, milliseconds. */
  readonly ttlMs: number;
  /** What is stopped when a claim is lost; null: a program that looks after itself. */
  readonly guard: Guard | null;
  /** The program that keeps the lease; else this one. */
  readonly keeperCommand?: readonly [string, ...string[]];
}

export interface ClaimEvents {
  reclaimed(revision: number): void;
  lost(why: string, stopByMs: number): void;
}

/** How a claim ended: what kept the store from hearing of it, and whom the lock is kept for. */
export interface Removal {
  readonly fault: string | null;
  readonly left: readonly number[];
}

/** The claims of this process, and the keeper that makes and keeps them. */
export interface LeaseSession {
  /** One attempt: the claim's revision; null: somebody has it. */
  claim(wish: Wish, events: ClaimEvents): Promise<number | null>;
  /** Keeps a claim that another process of ours has made, under the lease that it is under. False: it is not there any more. */
  join(claim: KeptClaim, lease: LeaseId, events: ClaimEvents): Promise<boolean>;
  /** `value`: what the claim's key says from now on; null: as before. */
  guard(token: string, group: number, value: Buffer | null): void;
  /** Renews now. */
  renew(): Promise<void>;
  /** Resolves once all that the keeper has said until now has been heard. */
  hear(): Promise<void>;
  /** Gives a claim back. One that was lost is given back as far as that does not take long. */
  remove(token: string, wasLost: boolean): Promise<Removal>;
  /** Leaves a joined claim to whoever made it. */
  leave(token: string): Promise<void>;
}

/** A keeper says again and again that it is alive, */
const longestSilenceMs = 2000;
/** once it has come up. */
const startPatienceMs = 15_000;
const wokenAfterMs = 1000;
const wokenPatienceMs = 1200;
/** A claim takes as long as etcd's answers may. */
const claimPatienceMs = 20_000;
const answerPatienceMs = 6000;
const lostPatienceMs = 500;
const hearPatienceMs = 1000;
const endPatienceMs = 300;
/** The keeper gives a claim up first; this is for when it cannot. */
const latenessMs = 300;
/** A keeper without a claim waits so long for the next one. */
const idleMs = 2000;

interface Mine {
  claim: KeptClaim;
  group: number | null;
  readonly events: ClaimEvents;
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: the session's state is shared by all functions in it; to become a class.
export function openSession(options: SessionOptions): LeaseSession {
  const { address, access, loginToken = () => null, ttlMs, guard, keeperCommand = ownKeeperCommand() } = options;
  const times = leaseTimes(ttlMs);
  // One that is stopped has to be replaced, and the next to renew, before the lease is given up.
  const silenceMs = Math.min(ttlMs / 4, longestSilenceMs);
  const held = new Map<string, Mine>();
  let current: LeaseOf | null = null;
  let keeper: KeeperLink | null = null;
  let claiming = 0;
  let borrowed = false;
  let heardAtMs = 0;
  let watchedAtMs = 0;
  let patientUntilMs = 0;
  let watching: NodeJS.Timeout | undefined;
  let idle: NodeJS.Timeout | undefined;

  const lose = (token: string, why: string, stopByMs: number) => {
    const lost = held.get(token);
    if (!held.delete(token) || lost === undefined) return;
    keeper?.tell({ do: "stopping" });
    lost.events.lost(why, stopByMs);
  };
  const receive = (news: News, link: KeeperLink) => {
    if (link !== keeper) return;
    heardAtMs = bootMs();
    if (news.say === "alive") {
      current = { lease: news.lease, confirmedAtMs: news.confirmedAtMs };
      link.tell({ do: "seen" });
    } else if (news.say === "lost") lose(news.id, news.why, news.stopByMs);
    else if (news.say === "reclaimed") {
      const mine = held.get(news.id);
      if (mine === undefined) return;
      mine.claim = { ...mine.claim, revision: news.revision };
      mine.events.reclaimed(news.revision);
    }
  };

  const start = (resume: LeaseOf | null): KeeperLink => {
    heardAtMs = bootMs();
    const link = linkKeeper(keeperCommand, receive, () => {
      if (keeper === link) keeper = null;
    });
    keeper = link;
    const claims = [...held.values()].map(({ claim }) => ({ ...textOf(claim), revision: claim.revision }));
    const rules = { ttlMs, guard, borrowed, resume: resume && { ...resume, claims } };
    link.tell({ do: "begin", address, access, loginToken: loginToken(), ...rules });
    for (const { claim, group } of held.values()) {
      if (group === null) continue;
      link.tell({ do: "guard", id: claim.token, group, value: borrowed ? null : claim.value.toString("base64") });
    }
    return link;
  };
  const closeKeeper = async () => {
    if (held.size > 0 || claiming > 0) return;
    const unneeded = keeper;
    keeper = null;
    current = null;
    unneeded?.close();
    await unneeded?.ended;
  };

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
    const patienceMs = keeper?.isReady() === false ? startPatienceMs : silenceMs;
    if (now >= Math.max(current.confirmedAtMs + times.stopAfterMs + latenessMs, patientUntilMs)) {
      const stopByMs = current.confirmedAtMs + times.killAfterMs;
      for (const token of [...held.keys()]) lose(token, "its lease is not renewed any more", stopByMs);
    } else if (keeper === null || now - heardAtMs > patienceMs) {
      const before = keeper;
      start(current);
      before?.kill();
    }
  };
  const hold = (claim: KeptClaim, events: ClaimEvents) => {
    held.set(claim.token, { claim, group: null, events });
    heardAtMs = bootMs();
    watchedAtMs = heardAtMs;
    watching ??= setInterval(watch, times.tellEveryMs).unref();
  };
  const unhold = (token: string): boolean => {
    held.delete(token);
    if (held.size > 0 || claiming > 0) return false;
    clearInterval(watching);
    watching = undefined;
    return true;
  };
  /** A command has one claim, and its keeper is collected: there may be nobody to collect orphans. */
  const settle = async () => {
    if (guard !== null) await Promise.race([closeKeeper(), sleep(endPatienceMs)]);
    else idle = setTimeout(closeKeeper, idleMs).unref();
  };

  const claimBy = async (link: KeeperLink, wish: Wish, events: ClaimEvents): Promise<number | null> => {
    const answers = ["claimed", "taken", "refused"] as const;
    const answer = await link.ask({ do: "claim", ...textOf(wish) }, answers, claimPatienceMs);
    if (answer?.say === "refused") throw errorFrom(answer.fault);
    if (answer?.say === "taken") return null;
    if (answer === null) {
      // Whatever it has made ends with its lease.
      link.kill();
      throw new EnvironmentError("the process that keeps the lease does not answer, or could not be started", {
        code: "ERR_KEEPER",
        hint: "a second process of trainlock must be able to run beside the command",
      });
    }
    current = { lease: answer.lease, confirmedAtMs: answer.confirmedAtMs };
    hold({ ...wish, revision: answer.revision }, events);
    return answer.revision;
  };

  return {
    claim: async (wish, events) => {
      clearTimeout(idle);
      claiming += 1;
      let revision: number | null = null;
      try {
        revision = await claimBy(keeper ?? start(null), wish, events);
        return revision;
      } finally {
        claiming -= 1;
        if (revision === null && held.size === 0 && claiming === 0) await settle();
      }
    },
    join: async (claim, lease, events) => {
      const askedAtMs = bootMs();
      borrowed = true;
      hold(claim, events);
      // Proved by the first renewal: nobody knows how long it has been since the last one.
      const link = start({ lease, confirmedAtMs: askedAtMs - ttlMs / 2 });
      await link.ask({ do: "renew", number: numberOfQuestion() }, ["renewed"], answerPatienceMs);
      if (current !== null && current.confirmedAtMs >= askedAtMs && held.has(claim.token)) return true;
      link.tell({ do: "leave", id: claim.token });
      unhold(claim.token);
      await settle();
      return false;
    },
    guard: (token, group, value) => {
      const mine = held.get(token);
      if (mine === undefined) return;
      if (value !== null) mine.claim = { ...mine.claim, value };
      mine.group = group;
      keeper?.tell({ do: "guard", id: token, group, value: value?.toString("base64") ?? null });
    },
    renew: async () => {
      await keeper?.ask({ do: "renew", number: numberOfQuestion() }, ["renewed"], answerPatienceMs);
    },
    hear: async () => {
      await keeper?.ask({ do: "answer", number: numberOfQuestion() }, ["answered"], hearPatienceMs);
    },
    remove: async (token, wasLost) => {
      const last = unhold(token);
      const patienceMs = wasLost ? lostPatienceMs : answerPatienceMs;
      const removed = await keeper?.ask({ do: "remove", id: token }, ["removed"], patienceMs);
      // A keeper that does not answer is not to go on renewing.
      if (!removed && !wasLost) keeper?.kill();
      if (last) await settle();
      return removed ?? { fault: wasLost ? null : "its keeper does not answer", left: [] };
    },
    leave: async (token) => {
      keeper?.tell({ do: "leave", id: token });
      if (unhold(token)) await settle();
    },
  };
}

function numberOfQuestion(): number {
  return Number.parseInt(randomHex(4), 16);
}

function textOf({ token, lock, last, value }: Wish): ClaimText {
  return { id: token, token, lock, last, value: value.toString("base64") };
}

function errorFrom({ reason, endpoint, message, code, hint, mayHaveHappened }: FaultText): EtcdError {
  const details = { code, mayHaveHappened, ...(hint === null ? {} : { hint }) };
  return new EtcdError(reason, endpoint, message, details);
}
