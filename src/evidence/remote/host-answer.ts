import type { LivingProcess } from "../../model/holder.ts";
import { answerPrefix } from "./host-script.ts";

/** A process as a host shows it. */
export interface HostProcess {
  /** Effective user id. */
  readonly uid: number;
  /** As `ps -o comm` shows it. */
  readonly name: string;
  readonly startTimeTicks: number;
  readonly zombie: boolean;
  /** Clock ticks by which it is older than the question. */
  readonly ageTicks: number;
}

/** Those of the asked that processes are in, by inode, and how many processes did not show theirs: of who asks, and of others. */
export interface NamespacesSeen {
  readonly inUse: ReadonlySet<number>;
  readonly closedOfOurs: number;
  readonly closedOfOthers: number;
}

/** A lock file as its host sees it; the inode is null where it could not be known which file that was. */
export interface TriedLock {
  readonly held: boolean;
  readonly inode: bigint | null;
}

/** What a host told about itself and some of its processes. */
export interface HostAnswer {
  readonly bootId: string | null;
  /** When it booted by its own clock, milliseconds since the epoch; null: it does not say. */
  readonly bootedAtMs: number | null;
  readonly hostname: string | null;
  /** As it stands in /etc/machine-id. */
  readonly machineId: string | null;
  readonly pidNamespace: number | null;
  /** False: processes of others may be kept from us. */
  readonly seesAll: boolean;
  /** Who asked there. */
  readonly uid: number;
  /** Those of the asked that exist. */
  readonly processes: ReadonlyMap<number, HostProcess>;
  /** Those that exist and show nothing. */
  readonly hidden: ReadonlySet<number>;
  /** Those that show nothing, and may be signalled by who asks. */
  readonly takingSignals: ReadonlySet<number>;
  /** How far its clock was set since it booted; null: it does not say. */
  readonly clockMovedSeconds: number | null;
  /** Asked numbers that processes have inside containers of this host, each with the PIDs there; empty when that was not asked. */
  readonly nested: ReadonlyMap<number, readonly number[]>;
  /** Who is in the PID namespaces that were asked about; null: nobody could look. */
  readonly namespaces: NamespacesSeen | null;
  /** The asking shell and its ancestors. */
  readonly own: ReadonlySet<number>;
  /** The arguments of some of the processes. */
  readonly commands: ReadonlyMap<number, readonly string[]>;
  /** Processes that carry one of the tokens, each with its variables of that and of its job; null: nobody could look. */
  readonly carriers: ReadonlyMap<number, Readonly<Record<string, string>>> | null;
  /** Files of the asked folders that processes have open; null: nobody could look. */
  readonly opened: readonly { readonly pid: number; readonly writes: boolean; readonly path: string }[] | null;
  /** User ids of the names that were asked for. */
  readonly users: ReadonlyMap<string, number>;
  /** The lock files that could be tried, by path. */
  readonly locks: ReadonlyMap<string, TriedLock>;
}

/** A process of a host, for people who want to look at it. */
export function livingOn(host: string, pid: number, { hostname, commands, processes }: HostAnswer): LivingProcess {
  return {
    pid,
    hostname: hostname ?? host,
    command: commands.get(pid) ?? [`[${processes.get(pid)?.name ?? ""}]`],
  };
}

/** Pure: reads the answer to the host script; null when it is not all there, or is none. `lockPaths` as the question had them. */
export function parseHostAnswer(text: string, lockPaths: readonly string[] = []): HostAnswer | null {
  const lines = text.split("\n").flatMap((line) => {
    const [, word, rest] = line.startsWith(`${answerPrefix} `) ? (/^\S+ (\w+) ?(.*)$/.exec(line.trimEnd()) ?? []) : [];
    return word === undefined ? [] : [{ word, rest: rest ?? "" }];
  });
  const last = (word: string) => lines.findLast((line) => line.word === word)?.rest ?? "";
  const all = (word: string) => lines.filter((line) => line.word === word).map(({ rest }) => rest);
  if (lines.at(-1)?.word !== "end") return null;
  const raw = new Map(all("pid").flatMap(processOf));
  const self = raw.get(Number(last("self")));
  if (self === undefined) return null;
  const processes = new Map(
    [...raw].map(([pid, found]) => [pid, { ...found, ageTicks: self.startTimeTicks - found.startTimeTicks }]),
  );
  return {
    bootId: /^[0-9a-f-]{36}$/.test(last("boot")) ? last("boot") : null,
    bootedAtMs: /^\d{1,12}$/.test(last("btime")) ? Number(last("btime")) * 1000 : null,
    hostname: last("host") === "" ? null : last("host"),
    machineId: /^[0-9a-f]{32}$/.test(last("machine")) ? last("machine") : null,
    pidNamespace: Number(/^(?:pid:\[)?(\d+)\]?$/.exec(last("ns"))?.[1] ?? Number.NaN) || null,
    seesAll: seesAll(last("proc"), self.uid),
    uid: self.uid,
    processes,
    hidden: new Set([...all("hidden").map(Number), ...all("pid").flatMap(unreadableOf)]),
    takingSignals: new Set(all("signals").map(Number)),
    clockMovedSeconds: clockMoved(last("btime"), last("zero")),
    nested: nestedOf(all("nested")),
    namespaces: namespacesOf(all("space"), last("spaces")),
    own: new Set(all("own").map(Number)),
    commands: new Map(all("line").flatMap(commandOf)),
    carriers: lines.some(({ word }) => word === "unsearched") ? null : carriersOf(all("carrier"), all("var")),
    opened: lines.some(({ word }) => word === "unlisted") ? null : all("open").flatMap(openOf),
    users: new Map(all("user").flatMap(userOf)),
    locks: new Map(all("lock").flatMap((rest) => lockOf(rest, lockPaths))),
  };
}

/** A process whose name holds a line break shows half a stat line: it is there, and that is all that is known. */
function unreadableOf(rest: string): number[] {
  const [, pid, tgid] = /^(\d+) (\d+) /.exec(rest) ?? [];
  return pid !== undefined && pid === tgid && processOf(rest).length === 0 ? [Number(pid)] : [];
}

/**
 * Compares the time of the boot by today's clock with the time by the clock of then: the kernel made /dev/zero at boot.
 */
function clockMoved(bootedAt: string, madeAt: string): number | null {
  return /^\d{1,12}$/.test(bootedAt) && /^\d{1,12}$/.test(madeAt) ? Math.abs(Number(bootedAt) - Number(madeAt)) : null;
}

function nestedOf(lines: readonly string[]): ReadonlyMap<number, readonly number[]> {
  const nested = new Map<number, number[]>();
  for (const line of lines) {
    const [, outer, inner] = /^(\d+) (\d+)$/.exec(line) ?? [];
    if (inner !== undefined) nested.set(Number(inner), [...(nested.get(Number(inner)) ?? []), Number(outer)]);
  }
  return nested;
}

function namespacesOf(inUse: readonly string[], closed: string): NamespacesSeen | null {
  const [, ours, others] = /^(\d+) (\d+)$/.exec(closed) ?? [];
  if (others === undefined) return null;
  return { inUse: new Set(inUse.map(Number)), closedOfOurs: Number(ours), closedOfOthers: Number(others) };
}

/** `PID ARGUMENT…` with tabs between the arguments and one at the end. */
function commandOf(rest: string): [number, readonly string[]][] {
  const [, pid, line = ""] = /^(\d+) (.*)$/.exec(rest) ?? [];
  const argv = line.replace(/\t+$/, "");
  return pid === undefined || argv.trim() === "" ? [] : [[Number(pid), argv.split("\t")]];
}

function carriersOf(pids: readonly string[], variables: readonly string[]) {
  const carriers = new Map<number, Record<string, string>>(pids.map((pid) => [Number(pid), {}]));
  for (const line of variables) {
    const [, pid, name, value] = /^(\d+) (\w+)=(.*)$/.exec(line) ?? [];
    const known = carriers.get(Number(pid));
    if (known !== undefined && name !== undefined && name !== "__proto__" && value !== undefined) known[name] = value;
  }
  return carriers;
}

/** `PID MODE PATH`, the mode as `ls -l /proc/PID/fd` shows it: proc_pid_fd(5). */
function openOf(rest: string) {
  const [, pid, write, path] = /^(\d+) l.(w|-)\S* (.*)$/.exec(rest) ?? [];
  if (path === undefined) return [];
  return [{ pid: Number(pid), writes: write === "w", path: path.replace(/ \(deleted\)$/, "") }];
}

function userOf(rest: string): [string, number][] {
  const [, uid, name] = /^(\d+) (.+)$/.exec(rest) ?? [];
  return name === undefined ? [] : [[name, Number(uid)]];
}

/** `PLACE STATE INODE`, the place being that in the question. */
function lockOf(rest: string, paths: readonly string[]): [string, TriedLock][] {
  const [, place, state, inode] = /^(\d+) (held|free) ?(\d*)$/.exec(rest) ?? [];
  const path = paths[Number(place)];
  return path === undefined ? [] : [[path, { held: state === "held", inode: inode ? BigInt(inode) : null }]];
}

/** `PID TGID EUID STATLINE`: the command's name in the stat line may hold spaces and parentheses. */
function processOf(rest: string): [number, Omit<HostProcess, "ageTicks">][] {
  const [, pid, tgid, uid, stat = ""] = /^(\d+) (\d+) (\d+) (.*)$/.exec(rest) ?? [];
  // A thread has a folder in /proc as well; markers and records name processes.
  if (pid === undefined || pid !== tgid) return [];
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startTimeTicks = Number(fields[19]);
  if (!stat.includes(")") || !Number.isInteger(startTimeTicks)) return [];
  const zombie = /^[ZXx]$/.test(fields[0] ?? "") && Number(fields[17]) <= 1;
  const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
  return [[Number(pid), { uid: Number(uid), name, startTimeTicks, zombie }]];
}

/** `hidepid` and `gid` of proc(5). */
function seesAll(mount: string, uid: number): boolean {
  if (!mount.startsWith("proc ")) return false;
  const hidden = /(?:^|[ ,])hidepid=(\w+)/.exec(mount)?.[1] ?? "0";
  return hidden === "0" || hidden === "off" || uid === 0;
}
