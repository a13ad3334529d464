import { sshCommand } from "../evidence/remote/ask-host.ts";
import { type HostName, isHostName, sameHost } from "../model/host-name.ts";
import { shellWord } from "../model/shell-word.ts";
import type { SiteConfig } from "../site/site-config.ts";
import { isOnPath } from "../system/processes/on-path.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { allocationOf } from "./allocation.ts";

/** A way to run a line of shell on a host; a host of our own allocation is reached by its scheduler's own means. */
export interface RemoteShell {
  readonly host: HostName;
  readonly how: "ssh" | "srun" | "blaunch" | "sh";
  argv(line: string): readonly [string, ...string[]];
}

type Environment = Readonly<Record<string, string | undefined>>;

export function remoteShell(host: string, site: SiteConfig, env: Environment = process.env): RemoteShell | null {
  if (!isHostName(host)) return null;
  if (sameHost(host, thisHost().hostname)) return { host, how: "sh", argv: (line) => ["/bin/sh", "-c", line] };
  const allocation = allocationOf(env);
  const launcher = allocation?.hosts.some((name) => sameHost(name, host)) ? allocation.launcher : null;
  if (launcher === "srun" && isOnPath("srun", env.PATH)) {
    // The step shares the allocation with whatever runs in it, else it would wait for its end.
    const flags = ["--overlap", "--nodes=1", "--ntasks=1", "--quiet", `--nodelist=${host}`];
    return { host, how: "srun", argv: (line) => ["srun", ...flags, "/bin/sh", "-c", line] };
  }
  // As rsh does, it has a shell of the other host put the words together again.
  if (launcher === "blaunch" && isOnPath("blaunch", env.PATH))
    return { host, how: "blaunch", argv: (line) => ["blaunch", host, "/bin/sh", "-c", shellWord(line)] };
  return { host, how: "ssh", argv: (line) => sshCommand(host, site.timeouts.sshMs, site.ssh, line) };
}
