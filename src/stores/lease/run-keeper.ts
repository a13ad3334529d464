import { writeFileSync } from "node:fs";
import { EtcdError } from "../../etcd/errors.ts";
import { openEtcd } from "../../etcd/open-etcd.ts";
import { messageOf } from "../../model/errors.ts";
import { bootMs } from "../../system/clock/boot-time.ts";
import { readLines } from "../../system/processes/read-lines.ts";
import { type CommandGuard, guardCommand } from "./guard-command.ts";
import { keepLease, type LeaseKeeper } from "./keep-lease.ts";
import { type ClaimText, type FaultText, lineOf, type Report, type Request } from "./keeper-messages.ts";
import { leaseTimes } from "./lease-times.ts";
import type { Wish } from "./make-claim.ts";

/** What ends a job ends its commands; the lease has to outlast them. */
const notOurs: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGPIPE"];

/**
 * A keeper's whole life: told by its wrapper what to keep, it renews the lease until it is told to give it back. When the
 * wrapper is gone without that, it keeps the lease for as long as the command runs.
 */
export async function runKeeper(): Promise<void> {
  for (const signal of notOurs) process.on(signal, () => undefined);
  nameProcess("lease-keeper");
  process.chdir("/");
  const say = (report: Report) => {
    process.stdout.write(lineOf(report));
  };
  process.stdout.on("error", () => undefined);
  const guard = guardCommand(bootMs);
  let keeper: LeaseKeeper | null = null;
  let reportedAtMs = 0;
  let mayReport = true;
  let borrowed = false;
  const report = () => {
    const state = keeper?.state() ?? null;
    if (!mayReport || state === null) return;
    mayReport = false;
    reportedAtMs = bootMs();
    say({ say: "alive", ...state });
  };
  let reportEveryMs = 0;
  let reporting: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    const handle = (request: Request) => {
      if (request.do === "begin") {
        keeper = beginKeeping(request, guard, say);
        borrowed = request.borrowed;
        reportEveryMs = leaseTimes(request.ttlMs).tellEveryMs;
        reporting = setInterval(report, reportEveryMs);
        say({ say: "ready" });
      } else if (request.do === "seen") {
        mayReport = true;
        // It has slept, and wants to know.
        if (bootMs() - reportedAtMs > reportEveryMs) report();
      } else if (request.do === "answer") say({ say: "answered", number: request.number });
      else if (request.do === "stopping") guard.wrapperStopsIt();
      else if (keeper !== null) void obey(request, keeper, guard, say);
    };
    readLines(process.stdin, (line) => handle(JSON.parse(line)), resolve);
  });
  clearInterval(reporting);
  await guard.outlast();
  if (!borrowed) await (keeper as LeaseKeeper | null)?.giveUp().catch(() => undefined);
}

function beginKeeping(
  { address, access, loginToken, ttlMs, guard: rules, resume }: Extract<Request, { do: "begin" }>,
  guard: CommandGuard,
  say: (report: Report) => void,
): LeaseKeeper {
  guard.begin(rules);
  const keeper = keepLease(openEtcd(address, access, loginToken), leaseTimes(ttlMs), bootMs, resume, {
    reclaimed: (id, revision) => say({ say: "reclaimed", id, revision }),
    lost: (id, why, stopByMs) => {
      say({ say: "lost", id, why, stopByMs });
      guard.lost(stopByMs);
    },
  });
  for (const claim of resume?.claims ?? []) {
    guard.carries(claim.token);
    keeper.adopt(claim.id, { ...wishFrom(claim), revision: claim.revision });
  }
  return keeper;
}

type Order = Exclude<Request, { do: "begin" | "seen" | "answer" | "stopping" }>;

async function obey(
  order: Order,
  keeper: LeaseKeeper,
  guard: CommandGuard,
  say: (report: Report) => void,
): Promise<void> {
  if (order.do === "renew") {
    await keeper.renew();
    const state = keeper.state();
    if (state !== null) say({ say: "alive", ...state });
    return say({ say: "renewed", number: order.number });
  }
  const { id } = order;
  switch (order.do) {
    case "claim":
      guard.carries(order.token);
      try {
        const made = await keeper.claim(id, wishFrom(order));
        const state = keeper.state();
        const isMade = made.kind === "made" && state !== null;
        return say(isMade ? { say: "claimed", id, revision: made.revision, ...state } : { say: "taken", id });
      } catch (error) {
        return say({ say: "refused", id, fault: faultFrom(error) });
      }
    case "guard":
      guard.guard(order.group);
      return order.value === null ? undefined : keeper.rewrite(id, Buffer.from(order.value, "base64"));
    case "leave":
      return keeper.leave(id);
    case "remove": {
      const left = await guard.left();
      if (left.length > 0) return say({ say: "removed", id, fault: null, left });
      const fault = await keeper.remove(id).then(() => null, messageOf);
      return say({ say: "removed", id, fault, left });
    }
  }
}

function wishFrom({ lock, last, token, value }: ClaimText): Wish {
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

/** As `ps` shows it, proc_pid_comm(5): whoever ends all processes of the wrapper's name leaves the keeper to its work. */
function nameProcess(name: string): void {
  try {
    writeFileSync("/proc/self/comm", name);
  } catch {
    // Only a name.
  }
}
