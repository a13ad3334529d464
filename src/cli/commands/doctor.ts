import type { Command } from "commander";
import { exitCodes, UsageError } from "../../model/errors.ts";
import type { Finding } from "../../model/finding.ts";
import { isHostName } from "../../model/host-name.ts";
import { helpEnd } from "../help.ts";
import { print, printJson } from "../output.ts";
import { findingText } from "../show/finding-text.ts";
import { paintFor } from "../show/paint.ts";
import { addJsonOption, addSiteOptions, layoutFrom, type SiteOptions } from "../site-options.ts";
import { parseDuration } from "../units.ts";

interface DoctorOptions extends SiteOptions {
  readonly hosts?: string;
  readonly timeout?: string;
}

export function addDoctorCommand(program: Command, done: (exitCode: number) => void): void {
  const command = program.command("doctor").description("test whether locks work here, and between which hosts");
  addJsonOption(addSiteOptions(command))
    .option(
      "--hosts <list>",
      "prove it with these hosts, separated by commas (else those of the site's file, or of the allocation)",
    )
    .option("--timeout <duration>", "time limit for each test (10s)")
    .addHelpText(
      "after",
      helpEnd(
        ["trainlock doctor", "trainlock doctor --hosts node01,node02", "trainlock doctor --json | jq '.findings[]'"],
        {
          0: "no fault (there may be warnings)",
          1: "found faults",
          2: "the call is wrong",
          3: "no such root, or it does not answer",
        },
      ),
    )
    .action(async (options: DoctorOptions) => done(await doctor(options)));
}

async function doctor(options: DoctorOptions): Promise<number> {
  const given = options.timeout === undefined ? null : parseDuration("--timeout", options.timeout);
  if (given === 0) throw new UsageError("--timeout leaves no time", { hint: "give more than 0" });
  const hosts = options.hosts === undefined ? null : parseHosts(options.hosts);
  // Loaded here and not above: no other command should pay for it.
  const { allocationOf, examineSite, openInTime, otherHostsOf } = await import("../../doctor/doctor.ts");
  await openInTime(options, given ?? 10_000);
  const layout = layoutFrom(options);
  const paint = paintFor(process.stdout, options.color);
  const findings = await examineSite({
    layout,
    hosts: hosts ?? (layout.site.hosts.length > 0 ? layout.site.hosts : otherHostsOf(allocationOf(process.env))),
    timeoutMs: given ?? layout.site.timeouts.probeMs,
    onFinding: (finding) => {
      if (!options.json) print(findingText(finding, paint));
    },
  });
  const count = (level: Finding["level"]) => findings.filter((finding) => finding.level === level).length;
  const counts = { ok: count("ok"), warning: count("warning"), fault: count("fault") };
  if (options.json) printJson({ counts, findings });
  else print(`\n${counts.ok} ok, ${counts.warning} warnings, ${counts.fault} faults\n`);
  return counts.fault === 0 ? exitCodes.ok : exitCodes.locked;
}

function parseHosts(text: string): string[] {
  return text.split(",").map((part) => {
    const host = part.trim();
    if (isHostName(host)) return host;
    throw new UsageError(`--hosts: ${JSON.stringify(host)} is no host name`, { hint: "such as --hosts node01,node02" });
  });
}
