import type { HostReply } from "./ask-host.ts";
import { hostPool } from "./host-pool.ts";
import type { RemoteOptions } from "./options.ts";
import type { BareOwner, Owner } from "./owner.ts";

/** The hosts of one call: each is connected to once, with the PIDs of all locks that may concern it. */
export function makeHosts(options: RemoteOptions, silent: Map<string, HostReply>) {
  const pool = hostPool();
  return (owners: readonly Owner[], leftMs: () => number) => {
    const named = new Map<string, Set<number>>();
    const roaming = new Set<number>();
    let anyBare = false;
    for (const { process } of owners) {
      if (process === null) continue;
      if (process.kind === "bare") anyBare = true;
      if (process.host === null) roaming.add(process.pid);
      else {
        const pids = named.get(process.host) ?? new Set();
        pids.add(process.pid);
        if (process.kind === "recorded" && process.section.childPid !== null) pids.add(process.section.childPid);
        named.set(process.host, pids);
      }
    }
    const replies = new Map<string, Promise<HostReply>>();
    const ask = (host: string): Promise<HostReply> => {
      const asked = replies.get(host);
      if (asked !== undefined) return asked;
      const known = silent.get(host);
      const reply = known === undefined ? askOnce(host) : Promise.resolve(known);
      replies.set(host, reply);
      return reply;
    };
    const askOnce = async (host: string): Promise<HostReply> => {
      const pids = [...new Set([...(named.get(host) ?? []), ...roaming])];
      const { connectTimeoutMs, ssh } = options;
      const reply = await pool({ host, pids, containers: anyBare, connectTimeoutMs, ssh }, leftMs);
      if (reply.kind === "silent") silent.set(host, reply);
      return reply;
    };
    for (const host of named.keys()) void ask(host);
    if (roaming.size > 0) for (const host of options.hosts) void ask(host);
    return ask;
  };
}

export type AskHosts = ReturnType<ReturnType<typeof makeHosts>>;

export function isRoaming(process: Owner["process"]): process is BareOwner {
  return process !== null && process.host === null;
}
