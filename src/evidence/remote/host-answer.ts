import { answerPrefix } from "./host-script.ts";

/** A process as a host shows it. */
export interface HostProcess {
  /** Effective user id. */
  readonly uid: number;
  readonly startTimeTicks: number;
  readonly zombie: boolean;
  /** Clock ticks by which it is older than the question. */
  readonly ageTicks: number;
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
  /** Numbers that processes have inside containers of this host; empty when that was not asked. */
  readonly nested: ReadonlySet<number>;
}

/** Pure: reads the answer to the host script; null when it is not all there, or is none. */
export function parseHostAnswer(text: string): HostAnswer | null {
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
    hidden: new Set(all("hidden").map(Number)),
    nested: new Set(all("nested").flatMap((rest) => rest.trim().split(/\s+/).map(Number))),
  };
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
  return [[Number(pid), { uid: Number(uid), startTimeTicks, zombie }]];
}

/** `hidepid` and `gid` of proc(5). */
function seesAll(mount: string, uid: number): boolean {
  if (!mount.startsWith("proc ")) return false;
  const hidden = /(?:^|[ ,])hidepid=(\w+)/.exec(mount)?.[1] ?? "0";
  return hidden === "0" || hidden === "off" || uid === 0;
}
