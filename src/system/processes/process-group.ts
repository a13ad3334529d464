import { listedPids, readProcText } from "./proc-files.ts";

export interface GroupMember {
  readonly pid: number;
  /** As `ps -o comm` shows it: at most 15 bytes, as found. */
  readonly name: string;
}

interface Relations {
  readonly name: string;
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
}

/** Fields 2 to 6 of proc_pid_stat(5). The name may hold spaces and parentheses, so the last one counts. */
function relationsOf(pid: number): Relations | null {
  const line = readProcText(`/proc/${pid}/stat`);
  if (line === null) return null;
  const [open, close] = [line.indexOf("("), line.lastIndexOf(")")];
  const [state = "", parent, group, session] = line.slice(close + 2).split(" ");
  return {
    name: line.slice(open + 1, close),
    state,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
  };
}

/** The running processes of a process group. Zombies are none: they hold nothing. */
export function groupMembers(group: number): GroupMember[] {
  if (!groupExists(group)) return [];
  return listedPids().flatMap((pid) => {
    const process = relationsOf(pid);
    const runs = process !== null && process.group === group && process.state !== "Z" && process.state !== "X";
    return runs ? [{ pid, name: process.name }] : [];
  });
}

/** Whether nobody could continue the group when it stops: no member has a parent in another group of its session, setpgid(2). */
export function isOrphanedGroup(group: number): boolean {
  return !listedPids().some((pid) => {
    const member = relationsOf(pid);
    if (member?.group !== group) return false;
    const parent = relationsOf(member.parent);
    return parent !== null && parent.session === member.session && parent.group !== group;
  });
}

/** One call in place of a walk through /proc, for the usual case. */
function groupExists(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

/** A signal to every process of a group; none is left when it is gone, and that is no fault. */
export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // Gone, or not ours to signal: its end is on its way to us.
  }
}
