import { everyPid, listedPids } from "./proc-files.ts";
import { readTreeProcess, type TreeProcess } from "./process-tree.ts";

/** The running processes of a process group. Zombies are none: they hold nothing. */
export function groupMembers(group: number): TreeProcess[] {
  if (!groupExists(group)) return [];
  const members: TreeProcess[] = [];
  for (const pid of everyPid()) {
    const found = readTreeProcess(pid);
    if (found?.group === group && found.runs) members.push(found);
  }
  return members;
}

/** Whether nobody could continue the group when it stops: no member has a parent in another group of its session, setpgid(2). */
export function isOrphanedGroup(group: number): boolean {
  return !listedPids().some((pid) => {
    const member = readTreeProcess(pid);
    if (member?.group !== group) return false;
    const parent = readTreeProcess(member.parent);
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
