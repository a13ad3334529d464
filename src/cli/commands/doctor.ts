import { exitCodes } from "../../model/errors.ts";
import type { Finding } from "../../model/finding.ts";
import { defineCommand, type ValuesOf, value } from "../command.ts";
import { parseHosts } from "../evidence-options.ts";
import { print, printJson } from "../output.ts";
import { findingText } from "../show/finding-text.ts";
import { paintFor } from "../show/paint.ts";
import { jsonOption, layoutFrom, siteOptions } from "../site-options.ts";
import { parsePositiveDuration } from "../units.ts";
import { versionLine } from "../version.ts";

const options = {
  ...siteOptions,
  ...jsonOption,
  hosts: value(
    "<list>",
    "prove it with these hosts, separated by commas (else those of the site's file, or of the allocation)",
    parseHosts,
  ),
  timeout: value("<duration>", "time limit for each test (10s)", parsePositiveDuration),
};

export const command = defineCommand({
  summary: "test whether locks work here, and between which hosts",
  options,
  examples: [
    "trainlock doctor",
    "trainlock doctor --hosts node01,node02",
    "trainlock doctor --json | jq '.findings[]'",
  ],
  exitCodes: {
    0: "no fault (there may be warnings)",
    1: "found faults",
    2: "the call is wrong",
    3: "no such root, or it does not answer",
  },
  execute: doctor,
});

async function doctor(given: ValuesOf<typeof options>): Promise<number> {
  // Loaded here and not above: no other command should pay for it.
  const { allocationOf, copyFindings, examineSite, openInTime, otherHostsOf } = await import("../../doctor/doctor.ts");
  await openInTime(given, given.timeout ?? 10_000);
  const layout = layoutFrom(given);
  const paint = paintFor(1, given.color);
  const timeoutMs = given.timeout ?? layout.site.timeouts.probeMs;
  const explained = new Set<string>();
  const onFinding = (finding: Finding) => {
    if (!given.json) print(findingText(finding, paint, explained));
  };
  const copies = (await copyFindings(versionLine(), timeoutMs)).map(({ subject, outcome }) => ({
    check: "program",
    subject,
    ...outcome,
  }));
  for (const copy of copies) onFinding(copy);
  const examined = await examineSite({
    layout,
    hosts: given.hosts ?? (layout.site.hosts.length > 0 ? layout.site.hosts : otherHostsOf(allocationOf(process.env))),
    timeoutMs,
    onFinding,
  });
  const findings = [...copies, ...examined];
  const count = (level: Finding["level"]) => findings.filter((finding) => finding.level === level).length;
  const counts = { ok: count("ok"), warning: count("warning"), fault: count("fault") };
  if (given.json) printJson({ counts, findings });
  else print(`\n${counts.ok} ok, ${counted(counts.warning, "warning")}, ${counted(counts.fault, "fault")}\n`);
  return counts.fault === 0 ? exitCodes.ok : exitCodes.locked;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
