import type { EtcdAccess, EtcdAddress } from "../../etcd/address.ts";
import type { LeaseId } from "../../etcd/client.ts";
import { EtcdError } from "../../etcd/errors.ts";
import { EnvironmentError } from "../../model/errors.ts";
import { bootMs } from "../../system/clock/boot-time.ts";
import { sleep } from "../../system/clock/sleep.ts";
import type { ProcessIdentity } from "../../system/processes/process-tree.ts";
import { isAnybodyListening, passOnQuestion } from "../../system/questions.ts";
import { randomHex } from "../../system/random.ts";
import type { NewClaim } from "./claim-transactions.ts";
import type { ClaimText, FaultText, GuardRules, LeaseOf } from "./keeper-messages.ts";
import { KeeperProcess, type News, ownKeeperCommand, wrapperFacts } from "./keeper-process.ts";
import type { KeptClaim } from "./kept-claim.ts";
import { type LeaseTimes, leaseTimes } from "./lease-times.ts";

export interface SessionOptions {
  readonly address: EtcdAddress;
  readonly access: EtcdAccess;
  /** The token of a login, if there was one. */
  readonly loginToken?: () => string | null;
  /** Of the cluster that has answered, if one has. */
  readonly clusterId?: () => string | null;
  /** The endpoints, the one that answered last first: a silent one must not keep the claim waiting once more. */
  readonly inOrder?: () => readonly string[];
  /** Time to live of the lease, milliseconds. */
  readonly ttlMs: number;
  /** What is stopped when a claim is lost; null: a program that looks after itself. */
  readonly guard: GuardRules | null;
  /** The program that keeps the lease; else this one. */
  readonly keeperCommand?: readonly [string, ...string[]];
}

export interface ClaimEvents {
  reclaimed(revision: number): void;
  lost(why: string, stopByMs: number): void;
}

/** How a claim was released: what kept the store from deleting it, and the processes for which the lock is kept. */
export interface Removal {
  readonly fault: string | null;
  readonly left: readonly number[];
}

/** A keeper that is silent for longer is replaced. */
const longestSilenceMs = 2000;
/** A keeper that is being started may be silent for so long. */
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

interface OwnClaim {
  claim: KeptClaim;
  group: number | null;
  tree: readonly ProcessIdentity[];
  readonly events: ClaimEvents;
}

/** What a store asks of a session. */
export type LeaseClaims = Pick<LeaseSession, keyof LeaseSession>;

/** The claims of this process, and the keeper that makes and keeps them. */
export class LeaseSession {
  readonly #options: SessionOptions;
  readonly #times: LeaseTimes;
  /** A keeper that is stopped has to be replaced, and the next one to renew, before the lease is given up. */
  readonly #silenceMs: number;
  readonly #held = new Map<string, OwnClaim>();
  #current: LeaseOf | null = null;
  #keeper: KeeperProcess | null = null;
  /** Claims that are being made. */
  #claiming = 0;
  #borrowed = false;
  /** When the keeper has reported last. */
  #reportedAtMs = 0;
  #watchedAtMs = 0;
  #patientUntilMs = 0;
  #watching: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#times = leaseTimes(options.ttlMs);
    this.#silenceMs = Math.min(options.ttlMs / 4, longestSilenceMs);
  }

  /** One attempt: the claim's revision; null: another has it. */
  async claim(claim: NewClaim, events: ClaimEvents): Promise<number | null> {
    clearTimeout(this.#idle);
    this.#claiming += 1;
    let revision: number | null = null;
    try {
      revision = await this.#claimBy(this.#keeper ?? this.#startKeeper(null), claim, events);
      return revision;
    } finally {
      this.#claiming -= 1;
      if (revision === null && this.#isIdle()) await this.#settle();
    }
  }

  /** Keeps a claim that another process of ours has made, under the lease that it is under. False: it is gone. */
  async join(claim: KeptClaim, lease: LeaseId, events: ClaimEvents): Promise<boolean> {
    const askedAtMs = bootMs();
    this.#borrowed = true;
    this.#hold(claim, events);
    // Proved by the first renewal: it is not known how long it has been since the last one.
    const keeper = this.#startKeeper({ lease, confirmedAtMs: askedAtMs - this.#options.ttlMs / 2 });
    await keeper.ask({ do: "renew", number: requestNumber() }, ["renewed"], answerPatienceMs);
    if (this.#current !== null && this.#current.confirmedAtMs >= askedAtMs && this.#held.has(claim.token)) return true;
    keeper.send({ do: "leave", id: claim.token });
    this.#drop(claim.token);
    await this.#settle();
    return false;
  }

  /** The command's process group. `value`: the new value of the claim's key; null: as before. */
  guard(token: string, group: number, value: Buffer | null): void {
    const own = this.#held.get(token);
    if (own === undefined) return;
    if (value !== null) own.claim = { ...own.claim, value };
    own.group = group;
    this.#keeper?.send({ do: "guard", id: token, group, value: value?.toString("base64") ?? null });
  }

  /** The command's process tree as it is now. */
  noteTree(token: string, processes: readonly ProcessIdentity[]): void {
    const own = this.#held.get(token);
    if (own === undefined) return;
    own.tree = processes;
    this.#keeper?.send(treeRequest(processes));
  }

  /** Renews now. */
  async renew(): Promise<void> {
    await this.#keeper?.ask({ do: "renew", number: requestNumber() }, ["renewed"], answerPatienceMs);
  }

  /** Resolves when all that the keeper has reported until now has been received. */
  async catchUp(): Promise<void> {
    await this.#keeper?.ask({ do: "answer", number: requestNumber() }, ["answered"], hearPatienceMs);
  }

  /** Releases a claim. One that was lost is released as far as that does not take long. */
  async remove(token: string, wasLost: boolean): Promise<Removal> {
    const wasLast = this.#drop(token);
    const timeoutMs = wasLost ? lostPatienceMs : answerPatienceMs;
    const removed = await this.#keeper?.ask({ do: "remove", id: token }, ["removed"], timeoutMs);
    // A keeper that does not answer must not go on renewing.
    if (!removed && !wasLost) this.#keeper?.kill();
    if (wasLast) await this.#settle();
    return removed ?? { fault: wasLost ? null : "its keeper does not answer", left: [] };
  }

  /** Leaves a joined claim to the process that made it. */
  async leave(token: string): Promise<void> {
    this.#keeper?.send({ do: "leave", id: token });
    if (this.#drop(token)) await this.#settle();
  }

  #isIdle(): boolean {
    return this.#held.size === 0 && this.#claiming === 0;
  }

  async #claimBy(keeper: KeeperProcess, claim: NewClaim, events: ClaimEvents): Promise<number | null> {
    const answers = ["claimed", "taken", "refused"] as const;
    const answer = await keeper.ask({ do: "claim", ...textOf(claim) }, answers, claimPatienceMs);
    if (answer?.say === "refused") throw errorFrom(answer.fault);
    if (answer?.say === "taken") return null;
    if (answer === null) {
      // Whatever it has made ends with its lease.
      keeper.kill();
      throw new EnvironmentError("the process that keeps the lease does not answer, or could not be started", {
        code: "ERR_KEEPER",
        hint: "a second process of trainlock must be able to run beside the command",
      });
    }
    this.#current = { lease: answer.lease, confirmedAtMs: answer.confirmedAtMs };
    this.#hold({ ...claim, revision: answer.revision }, events);
    return answer.revision;
  }

  #hold(claim: KeptClaim, events: ClaimEvents): void {
    this.#held.set(claim.token, { claim, group: null, tree: [], events });
    this.#reportedAtMs = bootMs();
    this.#watchedAtMs = this.#reportedAtMs;
    this.#watching ??= setInterval(() => this.#watch(), this.#times.reportEveryMs).unref();
  }

  /** True: it was the last one. */
  #drop(token: string): boolean {
    this.#held.delete(token);
    if (!this.#isIdle()) return false;
    clearInterval(this.#watching);
    this.#watching = undefined;
    return true;
  }

  #lose(token: string, why: string, stopByMs: number): void {
    const lost = this.#held.get(token);
    if (!this.#held.delete(token) || lost === undefined) return;
    this.#keeper?.send({ do: "stopping" });
    lost.events.lost(why, stopByMs);
  }

  #receive(news: News, keeper: KeeperProcess): void {
    if (keeper !== this.#keeper) return;
    this.#reportedAtMs = bootMs();
    if (news.say === "alive") {
      this.#current = { lease: news.lease, confirmedAtMs: news.confirmedAtMs };
      keeper.send({ do: "seen" });
    } else if (news.say === "asked") {
      keeper.send({ do: "questions read" });
      for (const question of news.questions) passOnQuestion(question);
    } else if (news.say === "lost") this.#lose(news.id, news.why, news.stopByMs);
    else if (news.say === "reclaimed") {
      const own = this.#held.get(news.id);
      if (own === undefined) return;
      own.claim = { ...own.claim, revision: news.revision };
      own.events.reclaimed(news.revision);
    }
  }

  /** Looks whether the keeper still reports, replaces it if not, and gives all claims up where the lease may end. */
  #watch(): void {
    const now = bootMs();
    if (now - this.#watchedAtMs > wokenAfterMs) {
      // Stopped or suspended: what the keeper has reported meanwhile is still to be read.
      this.#patientUntilMs = now + wokenPatienceMs;
      this.#reportedAtMs = now;
      this.#keeper?.send({ do: "seen" });
    }
    this.#watchedAtMs = now;
    if (this.#held.size === 0 || this.#current === null) return;
    const { confirmedAtMs } = this.#current;
    const patienceMs = this.#keeper?.isReady === false ? startPatienceMs : this.#silenceMs;
    if (now >= Math.max(confirmedAtMs + this.#times.stopAfterMs + latenessMs, this.#patientUntilMs)) {
      const stopByMs = confirmedAtMs + this.#times.killAfterMs;
      for (const token of [...this.#held.keys()]) this.#lose(token, "its lease is not renewed any more", stopByMs);
    } else if (this.#keeper === null || now - this.#reportedAtMs > patienceMs) {
      const before = this.#keeper;
      this.#startKeeper(this.#current);
      before?.kill();
    }
  }

  #startKeeper(resume: LeaseOf | null): KeeperProcess {
    const {
      address,
      access,
      loginToken = () => null,
      clusterId = () => null,
      inOrder = () => address.endpoints,
      ttlMs,
      guard,
      keeperCommand,
    } = this.#options;
    this.#reportedAtMs = bootMs();
    const keeper = new KeeperProcess(
      keeperCommand ?? ownKeeperCommand(),
      (news, from) => this.#receive(news, from),
      (ended) => {
        if (this.#keeper === ended) this.#keeper = null;
      },
    );
    this.#keeper = keeper;
    const claims = [...this.#held.values()].map(({ claim }) => ({ ...textOf(claim), revision: claim.revision }));
    const rules = {
      ttlMs,
      wrapper: wrapperFacts(),
      guard,
      tellQuestions: isAnybodyListening(),
      borrowed: this.#borrowed,
      resume: resume && { ...resume, claims },
    };
    const found = { loginToken: loginToken(), clusterId: clusterId() };
    keeper.send({ do: "begin", address: { ...address, endpoints: inOrder() }, access, ...found, ...rules });
    for (const { claim, group, tree } of this.#held.values()) {
      if (group === null) continue;
      const value = this.#borrowed ? null : claim.value.toString("base64");
      keeper.send({ do: "guard", id: claim.token, group, value });
      keeper.send(treeRequest(tree));
    }
    return keeper;
  }

  /** With the last claim of a command its keeper is waited for and reaped: it may be that nobody else reaps orphans. */
  async #settle(): Promise<void> {
    if (this.#options.guard !== null) await Promise.race([this.#closeKeeper(), sleep(endPatienceMs)]);
    else this.#idle = setTimeout(() => this.#closeKeeper(), idleMs).unref();
  }

  async #closeKeeper(): Promise<void> {
    if (!this.#isIdle()) return;
    const unneeded = this.#keeper;
    this.#keeper = null;
    this.#current = null;
    unneeded?.close();
    await unneeded?.ended;
  }
}

function requestNumber(): number {
  return Number.parseInt(randomHex(4), 16);
}

function treeRequest(processes: readonly ProcessIdentity[]) {
  const identities = processes.map(({ pid, startTimeTicks }) => ({ pid, startTimeTicks }));
  return { do: "tree", processes: identities } as const;
}

function textOf({ token, lock, last, value }: NewClaim): ClaimText {
  return { id: token, token, lock, last, value: value.toString("base64") };
}

function errorFrom({ reason, endpoint, message, code, hint, mayHaveHappened }: FaultText): EtcdError {
  const details = { code, mayHaveHappened, ...(hint === null ? {} : { hint }) };
  return new EtcdError(reason, endpoint, message, details);
}
