import { type RemoteOptions, remoteOptionsOf } from "../evidence/remote/options.ts";
import { UsageError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import { type HostName, isHostName } from "../model/host-name.ts";
import { lazily } from "../model/lazily.ts";
import { printable } from "../model/printable.ts";
import type { Layout } from "../site/layout.ts";
import { schedulers } from "../site/site-config.ts";
import type { LockPrimitive } from "../system/libc/flock.ts";
import { choice, grouped, type ValuesOf, value } from "./command.ts";
import { say } from "./output.ts";
import { parsePositiveDuration } from "./units.ts";

export const evidenceOptions = grouped("Finding out who holds a lock", {
  sshTimeout: value("<duration>", "time limit for a host to accept an ssh connection (5s)", parsePositiveDuration),
  verifyTimeout: value(
    "<duration>",
    "time limit for all questions to other hosts and the scheduler together (10s)",
    parsePositiveDuration,
  ),
  scheduler: choice(
    "<name>",
    "which scheduler to ask (else what the record names, else what is installed)",
    schedulers,
  ),
  hosts: value("<list>", "hosts to search when a lock names a PID but no host, separated by commas", parseHosts),
});

export type EvidenceOptions = ValuesOf<typeof evidenceOptions>;

/** One call's way to examine locks, as its options have it, else its site. */
export function examineFrom(
  options: EvidenceOptions,
  { site }: Layout,
  watching: Partial<RemoteOptions> = {},
): Examine {
  const { sshTimeout, verifyTimeout, scheduler, hosts } = options;
  const remote: RemoteOptions = {
    ...remoteOptionsOf(site),
    ...(sshTimeout === undefined ? {} : { connectTimeoutMs: sshTimeout }),
    ...(verifyTimeout === undefined ? {} : { verifyTimeoutMs: verifyTimeout, schedulerTimeoutMs: verifyTimeout }),
    ...(scheduler === undefined ? {} : { scheduler }),
    ...(hosts === undefined ? {} : { hosts }),
    onNote: (text) => say(`trainlock: ${printable(text)}`),
    ...watching,
  };
  const examine = lazily(() => loadExamine(remote, site.lockPrimitive));
  return async (facts) => (await examine())(facts);
}

/** Most calls find no lock to be judged: they do not load this. */
async function loadExamine(remote: RemoteOptions, primitive: LockPrimitive): Promise<Examine> {
  const [{ makeExamine }, { examineWithRanks }] = await Promise.all([
    import("../evidence/examine.ts"),
    import("../stores/ranks/examine-with-ranks.ts"),
  ]);
  return examineWithRanks(makeExamine(remote), primitive);
}

/** `node01,node02`, for `flag`. */
export function parseHosts(flag: string, text: string): readonly HostName[] {
  return text.split(",").map((part) => {
    const host = part.trim();
    if (isHostName(host)) return host;
    throw new UsageError(`${flag}: ${JSON.stringify(host)} is not a host name`, {
      hint: `for example ${flag} node01,node02`,
    });
  });
}
