import { schedulerOnPath, schedulerProbes } from "../evidence/schedulers/choose.ts";
import { type Outcome, ok, warning } from "../model/finding.ts";
import { sameHost } from "../model/host-name.ts";
import type { SiteConfig } from "../site/site-config.ts";
import { firstLine, runProgram } from "../system/processes/run-program.ts";
import { thisHost } from "../system/processes/this-host.ts";

interface SchedulerFinding {
  readonly check: string;
  readonly subject: string;
  readonly outcome: Outcome;
}

/** How each scheduler is asked for the names of its hosts. */
const hostLists = {
  slurm: ["sinfo", "--noheader", "--Node", "--format=%N"],
  lsf: ["bhosts", "-w"],
  pbs: ["pbsnodes", "-a"],
  sge: ["qhost"],
} as const satisfies Record<string, readonly [string, ...string[]]>;

/** Whether the scheduler answers, and whether it calls the hosts what they and the user call them. */
export async function schedulerFindings(site: SiteConfig, hosts: readonly string[]): Promise<SchedulerFinding[]> {
  const { scheduler, timeouts } = site;
  if (scheduler === "none") return [];
  const probe = scheduler === "auto" ? schedulerOnPath() : schedulerProbes[scheduler];
  const finding = (subject: string, outcome: Outcome) => ({ check: "scheduler", subject, outcome });
  if (probe === null) return [finding(thisHost().hostname, ok("none is installed here: jobs are not asked about"))];
  const answer = await runProgram({ argv: hostLists[probe.kind], timeoutMs: timeouts.schedulerMs });
  if (answer.kind !== "ended" || answer.exitCode !== 0) {
    const how =
      answer.kind === "late"
        ? `no answer within ${timeouts.schedulerMs / 1000} s`
        : answer.kind === "ended"
          ? `${hostLists[probe.kind][0]} failed (exit code ${answer.exitCode ?? "none"}): ${firstLine(answer.stderr)}`
          : `${hostLists[probe.kind][0]} cannot be started`;
    const means = "locks of jobs on other hosts stay unknown as long as it does not answer";
    return [finding(probe.title, warning(how, means, "try it yourself, and see whether its controller runs"))];
  }
  const names = hostNames(probe.kind, answer.stdout);
  const reachable = finding(probe.title, ok(`answers, and knows ${names.length} hosts`));
  const wanted = [thisHost().hostname, ...hosts];
  const spelled = wanted.map((host) => [host, names.find((name) => sameHost(name, host))] as const);
  const missing = spelled.filter(([, name]) => name === undefined).map(([host]) => host);
  const different = spelled.filter(([host, name]) => name !== undefined && name !== host);
  const said = different.map(([host, name]) => `${host} is ${name} there`).join(", ");
  const outcome =
    missing.length === 0
      ? ok(said === "" ? "it uses the same names" : said)
      : // A login node is in no queue, and need not be.
        ok(`it does not run jobs on ${missing.join(", ")}${said === "" ? "" : `; ${said}`}`);
  return [reachable, { check: "host names", subject: probe.title, outcome }];
}

function hostNames(kind: keyof typeof hostLists, text: string): string[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const names =
    kind === "slurm"
      ? lines.map((line) => line.trim())
      : kind === "pbs"
        ? lines.filter((line) => /^\S/.test(line)).map((line) => line.trim())
        : lines.slice(kind === "sge" ? 3 : 1).map((line) => line.split(/\s+/)[0] ?? "");
  return [...new Set(names.filter((name) => name !== ""))];
}
