import { type Command, Option } from "commander";
import { makeExamine } from "../evidence/examine.ts";
import { type RemoteOptions, remoteOptionsOf } from "../evidence/remote/options.ts";
import { UsageError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import { isHostName } from "../model/host-name.ts";
import type { Layout } from "../site/layout.ts";
import { schedulers } from "../site/site-config.ts";
import { say } from "./output.ts";
import { printable } from "./show/printable.ts";
import { parseDuration } from "./units.ts";

export interface EvidenceOptions {
  readonly sshTimeout?: string;
  readonly verifyTimeout?: string;
  readonly scheduler?: RemoteOptions["scheduler"];
  readonly hosts?: string;
}

export function addEvidenceOptions(command: Command): Command {
  return command
    .option("--ssh-timeout <duration>", "time limit for a host to accept an ssh connection (5s)")
    .option(
      "--verify-timeout <duration>",
      "time limit for all questions to other hosts and the scheduler together (10s)",
    )
    .addOption(
      new Option(
        "--scheduler <name>",
        "which scheduler to ask (else what the record names, else what is installed)",
      ).choices(schedulers),
    )
    .option("--hosts <list>", "hosts to search when a lock names a PID but no host, separated by commas");
}

/** One call's way to examine locks, as its options have it, else its site. */
export function examineFrom(options: EvidenceOptions, { site }: Layout): Examine {
  const { sshTimeout, verifyTimeout, scheduler, hosts } = options;
  return makeExamine({
    ...remoteOptionsOf(site),
    ...(sshTimeout === undefined ? {} : { connectTimeoutMs: positive("--ssh-timeout", sshTimeout) }),
    ...(verifyTimeout === undefined ? {} : { verifyTimeoutMs: positive("--verify-timeout", verifyTimeout) }),
    ...(scheduler === undefined ? {} : { scheduler }),
    ...(hosts === undefined ? {} : { hosts: parseHosts(hosts) }),
    onNote: (text) => say(`trainlock: ${printable(text)}`),
  });
}

function positive(flag: string, text: string): number {
  const milliseconds = parseDuration(flag, text);
  if (milliseconds > 0) return milliseconds;
  throw new UsageError(`${flag} ${text} leaves no time`, { hint: "give more than 0" });
}

function parseHosts(text: string): string[] {
  return text.split(",").map((part) => {
    const host = part.trim();
    if (isHostName(host)) return host;
    throw new UsageError(`--hosts: ${JSON.stringify(host)} is no host name`, { hint: "such as --hosts node01,node02" });
  });
}
