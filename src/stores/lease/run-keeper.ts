import { writeFileSync } from "node:fs";
import { EtcdError } from "../../etcd/errors.ts";
import { openEtcd } from "../../etcd/open-etcd.ts";
import { messageOf } from "../../model/errors.ts";
import { bootMs } from "../../system/clock/boot-time.ts";
import { readLines } from "../../system/processes/read-lines.ts";
import { outliveJob } from "../../system/processes/signals.ts";
import type { NewClaim } from "./claim-transactions.ts";
import { CommandGuard } from "./command-guard.ts";
import { type ClaimText, type FaultText, lineOf, type Report, type Request } from "./keeper-messages.ts";
import { KeeperQuestions } from "./keeper-questions.ts";
import { type KeeperEvents, LeaseKeeper } from "./lease-keeper.ts";
import { leaseTimes } from "./lease-times.ts";

/**
 * A keeper's whole life: it keeps what its wrapper asks for, and renews the lease until the wrapper releases it. When the wrapper
 * is gone without that, it keeps the lease for as long as the command runs.
 */
export async function runKeeper(): Promise<void> {
  outliveJob();
  nameProcess("lease-keeper");
  process.chdir("/");
  process.stdout.on("error", () => undefined);
  let handler: RequestHandler | null = null;
  await new Promise<void>((resolve) => {
    const handle = (request: Request) => {
      if (request.do === "begin")
        handler ??= new RequestHandler(request, (report) => process.stdout.write(lineOf(report)));
      else handler?.handle(request);
    };
    readLines(process.stdin, (line) => handle(JSON.parse(line)), resolve);
  });
  await (handler as RequestHandler | null)?.finish();
}

type Beginning = Extract<Request, { do: "begin" }>;
type Order = Exclude<Request, Beginning>;

/** Does what one wrapper asks for, and reports what happens to its claims. */
class RequestHandler {
  readonly #say: (report: Report) => void;
  readonly #guard: CommandGuard;
  readonly #keeper: LeaseKeeper;
  readonly #borrowed: boolean;
  /** Null: nobody wants to know. */
  readonly #questions: KeeperQuestions | null;
  readonly #reportEveryMs: number;
  readonly #reporting: NodeJS.Timeout;
  #reportedAtMs = 0;
  #mayReport = true;

  constructor(
    { address, access, loginToken, clusterId, ttlMs, wrapper, guard, resume, borrowed, tellQuestions }: Beginning,
    say: (report: Report) => void,
  ) {
    const times = leaseTimes(ttlMs);
    this.#say = say;
    this.#borrowed = borrowed;
    this.#questions = tellQuestions ? new KeeperQuestions(say) : null;
    this.#guard = new CommandGuard(guard, wrapper);
    const events: KeeperEvents = {
      reclaimed: (id, revision) => say({ say: "reclaimed", id, revision }),
      lost: (id, why, stopByMs) => {
        say({ say: "lost", id, why, stopByMs });
        void this.#guard.stop(stopByMs);
      },
    };
    const client = openEtcd(address, access, loginToken, clusterId);
    this.#keeper = new LeaseKeeper(client, times, bootMs, resume, events, borrowed);
    for (const claim of resume?.claims ?? []) {
      this.#guard.addToken(claim.token);
      this.#keeper.adopt(claim.id, { ...newClaimFrom(claim), revision: claim.revision });
    }
    this.#reportEveryMs = times.reportEveryMs;
    this.#reporting = setInterval(() => this.#report(), times.reportEveryMs);
    say({ say: "ready" });
  }

  handle(order: Order): void {
    if (order.do === "claim") void this.#claim(order);
    else if (order.do === "guard") {
      this.#guard.addGroup(order.group);
      if (order.value !== null) this.#keeper.rewrite(order.id, Buffer.from(order.value, "base64"));
    } else if (order.do === "tree") this.#guard.addTree(order.processes);
    else if (order.do === "remove") void this.#remove(order.id);
    else if (order.do === "leave") this.#keeper.leave(order.id);
    else if (order.do === "renew") void this.#renew(order.number);
    else if (order.do === "answer") this.#say({ say: "answered", number: order.number });
    else if (order.do === "questions read") this.#questions?.wasRead();
    else if (order.do === "stopping") this.#guard.wrapperStopsIt();
    else {
      this.#mayReport = true;
      // The wrapper was stopped, and reads on.
      if (bootMs() - this.#reportedAtMs > this.#reportEveryMs) this.#report();
    }
  }

  /** The wrapper has ended. Resolves when nothing of its command runs and the lease is released. */
  async finish(): Promise<void> {
    clearInterval(this.#reporting);
    await this.#guard.outlast();
    if (!this.#borrowed) await this.#keeper.giveUp().catch(() => undefined);
  }

  #report(): void {
    const state = this.#keeper.state();
    if (!this.#mayReport || state === null) return;
    this.#mayReport = false;
    this.#reportedAtMs = bootMs();
    this.#say({ say: "alive", ...state });
  }

  async #claim(order: Extract<Order, { do: "claim" }>): Promise<void> {
    const { id } = order;
    this.#guard.addToken(order.token);
    try {
      const result = await this.#keeper.claim(id, newClaimFrom(order));
      const state = this.#keeper.state();
      const isMade = result.kind === "made" && state !== null;
      this.#say(isMade ? { say: "claimed", id, revision: result.revision, ...state } : { say: "taken", id });
    } catch (error) {
      this.#say({ say: "refused", id, fault: faultFrom(error) });
    }
  }

  async #remove(id: string): Promise<void> {
    const left = await this.#guard.leftovers();
    const fault = left.length > 0 ? null : await this.#keeper.remove(id).then(() => null, messageOf);
    this.#questions?.report();
    this.#say({ say: "removed", id, fault, left });
  }

  async #renew(number: number): Promise<void> {
    await this.#keeper.renew();
    const state = this.#keeper.state();
    if (state !== null) this.#say({ say: "alive", ...state });
    this.#say({ say: "renewed", number });
  }
}

function newClaimFrom({ lock, last, token, value }: ClaimText): NewClaim {
  return { lock, last, token, value: Buffer.from(value, "base64") };
}

function faultFrom(error: unknown): FaultText {
  if (error instanceof EtcdError) {
    const { reason, endpoint, message, code, hint = null, mayHaveHappened } = error;
    return { reason, endpoint, message, code, hint, mayHaveHappened };
  }
  const message = messageOf(error);
  return { reason: "other", endpoint: "", message, code: "ERR_KEEPER", hint: null, mayHaveHappened: true };
}

/** As `ps` shows it, proc_pid_comm(5): who ends all processes of the wrapper's name does not end the keeper. */
function nameProcess(name: string): void {
  try {
    writeFileSync("/proc/self/comm", name);
  } catch {
    // Only a name.
  }
}
