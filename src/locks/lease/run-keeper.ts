import { writeFileSync } from "node:fs";
import { openEtcd } from "../../etcd/open-etcd.ts";
import { bootMs } from "../../system/boot-time.ts";
import { readLines } from "../../system/read-lines.ts";
import { guardCommand } from "./guard-command.ts";
import { keepLease, type LeaseKeeper } from "./keep-lease.ts";
import { lineOf, type Report, type Request } from "./keeper-messages.ts";
import { leaseTimes } from "./lease-times.ts";

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
  const kept: { keeper: LeaseKeeper | null } = { keeper: null };
  let mayReport = true;
  const say = (report: Report) => {
    process.stdout.write(lineOf(report));
  };
  process.stdout.on("error", () => undefined);
  const guard = guardCommand(bootMs);

  const handle = (request: Request): void => {
    if (request.do === "begin") {
      guard.begin(request.guard);
      kept.keeper = keepLease(openEtcd(request.address, request.access), leaseTimes(request.ttlMs), bootMs, request, {
        reclaimed: (id, revision) => say({ say: "reclaimed", id, revision }),
        lost: (id, why, stopByMs) => {
          say({ say: "lost", id, why, stopByMs });
          guard.lost(stopByMs);
        },
      });
      say({ say: "ready" });
      return;
    }
    const { keeper } = kept;
    if (keeper === null) return;
    if (request.do === "lease") keeper.begin(request);
    else if (request.do === "add") {
      guard.carries(request.token);
      keeper.add(request.id, { ...request, value: Buffer.from(request.value, "base64") });
    } else if (request.do === "guard") {
      guard.guard(request.group);
      keeper.rewrite(request.id, Buffer.from(request.value, "base64"));
    } else if (request.do === "remove") {
      const { id, last } = request;
      if (last) guard.end();
      keeper.remove(id, last).then(
        () => say({ say: "removed", id, fault: null }),
        (error: unknown) => say({ say: "removed", id, fault: error instanceof Error ? error.message : String(error) }),
      );
    } else if (request.do === "renew") {
      const { number } = request;
      void keeper.renew().then(() => {
        report();
        say({ say: "renewed", number });
      });
    } else if (request.do === "stopping") guard.wrapperStopsIt();
    else mayReport = true;
  };
  const report = () => {
    if (kept.keeper !== null) say({ say: "alive", ...kept.keeper.state() });
  };
  const reporting = setInterval(() => {
    if (!mayReport) return;
    mayReport = false;
    report();
  }, 500);

  await new Promise<void>((resolve) => {
    readLines(process.stdin, (line) => handle(JSON.parse(line)), resolve);
  });
  clearInterval(reporting);
  await guard.outlast();
  await kept.keeper?.giveUp();
}

/** As `ps` shows it, proc_pid_comm(5): whoever ends all processes of the wrapper's name leaves the keeper to its work. */
function nameProcess(name: string): void {
  try {
    writeFileSync("/proc/self/comm", name);
  } catch {
    // Only a name.
  }
}
