import type { HostName } from "../../model/host-name.ts";
import { emptySiteConfig, type SchedulerChoice, type SiteConfig, type SshSettings } from "../../site/site-config.ts";

/** How far others may be asked about a holder. */
export interface RemoteOptions {
  /** For one host to take an ssh connection, milliseconds. */
  readonly connectTimeoutMs: number;
  /** For everything that is asked at once, milliseconds. */
  readonly verifyTimeoutMs: number;
  /** For one scheduler to answer, milliseconds. */
  readonly schedulerTimeoutMs: number;
  /** `auto`: what the record names, else what is installed. */
  readonly scheduler: SchedulerChoice;
  /** Where a bare PID may be, beside the hosts of its owner's jobs. */
  readonly hosts: readonly HostName[];
  /** How the site's hosts are reached, beside what the user's own ssh configuration says. */
  readonly ssh: SshSettings;
  /** Whoever watches asks no more often than this, all at once, milliseconds; null: whenever there is a new claim. */
  readonly askEveryMs: number | null;
  /** Told how long the questions of one look took, milliseconds. */
  readonly onAsked: (tookMs: number) => void;
  /** Told once of each scheduler that gives no answer. */
  readonly onNote: (text: string) => void;
}

const defaultVerifyTimeoutMs = 10_000;

/** What a site declares, the defaults where it does not. */
export function remoteOptionsOf(site: SiteConfig = emptySiteConfig): RemoteOptions {
  return {
    connectTimeoutMs: site.timeouts.sshMs,
    verifyTimeoutMs: Math.max(defaultVerifyTimeoutMs, site.timeouts.sshMs, site.timeouts.schedulerMs),
    schedulerTimeoutMs: site.timeouts.schedulerMs,
    scheduler: site.scheduler,
    hosts: site.hosts,
    ssh: site.ssh,
    askEveryMs: null,
    onAsked: () => undefined,
    onNote: () => undefined,
  };
}
