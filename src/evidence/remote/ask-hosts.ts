import type { HostName } from "../../model/host-name.ts";
import { initialPidNamespace } from "../../system/processes/this-host.ts";
import { realFolderOf } from "../open-files.ts";
import type { HostReply } from "./ask-host.ts";
import { hostPool } from "./host-pool.ts";
import type { HostWish } from "./host-script.ts";
import type { RemoteOptions } from "./options.ts";
import type { BareOwner, Owner, RecordedOwner } from "./owner.ts";

/** The hosts of one call: each is connected to once, with all that the locks which may concern it want to know. */
export function makeHosts(options: RemoteOptions, silent: Map<string, HostReply>) {
  const pool = hostPool();
  return (owners: readonly Owner[], leftMs: () => number) => {
    const processes = owners.flatMap(({ process }) => (process === null ? [] : [process]));
    const roaming = processes.filter(isRoaming);
    const hosts = new Set(processes.flatMap(({ host }) => (host === null ? [] : [host])));
    const replies = new Map<string, Promise<HostReply>>();
    const ask = (host: HostName): Promise<HostReply> => {
      const asked = replies.get(host);
      if (asked !== undefined) return asked;
      const known = silent.get(host);
      const reply = known === undefined ? askOnce(host) : Promise.resolve(known);
      replies.set(host, reply);
      return reply;
    };
    const askOnce = async (host: HostName): Promise<HostReply> => {
      const there = processes.filter((process) => process.host === host || othersOf(process).includes(host));
      const wish = wishOf([...there, ...roaming]);
      const { connectTimeoutMs, ssh } = options;
      const reply = await pool({ host, wish, connectTimeoutMs, ssh }, leftMs);
      if (reply.kind === "silent") silent.set(host, reply);
      return reply;
    };
    for (const host of hosts) void ask(host);
    for (const host of new Set(processes.flatMap(othersOf))) void ask(host);
    if (roaming.length > 0) for (const host of options.hosts) void ask(host);
    return ask;
  };
}

export type AskHosts = ReturnType<ReturnType<typeof makeHosts>>;

export function isRoaming(process: Owner["process"]): process is BareOwner {
  return process !== null && process.host === null;
}

function othersOf(process: RecordedOwner | BareOwner): readonly HostName[] {
  return process.kind === "recorded" ? process.otherHosts : [];
}

function foldersOf({ marker }: BareOwner): string[] {
  return marker === null ? [] : [realFolderOf(marker)];
}

function containerOf({ pidNamespace }: RecordedOwner["section"]): number[] {
  return pidNamespace === null || pidNamespace === initialPidNamespace ? [] : [pidNamespace];
}

function wishOf(processes: readonly (RecordedOwner | BareOwner)[]): HostWish {
  const recorded = processes.filter((process) => process.kind === "recorded");
  const pids = processes.flatMap((process) => {
    if (process.kind === "bare") return process.pid === null ? [] : [process.pid];
    const { childPid } = process.section;
    return [process.pid, ...(childPid === null ? [] : [childPid]), ...process.noted.map(({ pid }) => pid)];
  });
  return {
    pids: [...new Set(pids)],
    folders: [...new Set(processes.flatMap((process) => (process.kind === "bare" ? foldersOf(process) : [])))],
    containers: processes.some(({ kind }) => kind === "bare"),
    namespaces: [...new Set(recorded.flatMap(({ section }) => containerOf(section)))],
    tokens: [...new Set(recorded.flatMap(({ section }) => (section.token === null ? [] : [section.token])))],
    users: [...new Set(recorded.flatMap(({ user }) => (user === null ? [] : [user])))],
    locks: [...new Set(recorded.flatMap(({ lock }) => (lock === null ? [] : [lock.path])))],
  };
}
