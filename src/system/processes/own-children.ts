import { readStatLine } from "./proc-files.ts";

/** PID and start time of what this program has started for itself: the keeper, ssh, squeue, flock. */
const own = new Map<number, number | null>();

/** Notes a child that is a helper of ours and no part of a command. The runtime collects it, and nobody else may. */
export function noteOwnChild(pid: number | undefined): void {
  if (pid !== undefined) own.set(pid, readStatLine(pid)?.startTimeTicks ?? null);
}

/** Whether this is such a helper, and not a later process that got its PID. */
export function isOwnChild(pid: number, startTimeTicks: number | null): boolean {
  const noted = own.get(pid);
  return noted !== undefined && (noted === null || startTimeTicks === null || noted === startTimeTicks);
}
