import type { Holder } from "../model/holder.ts";
import { printable } from "../model/printable.ts";

/** `Job 123456 on makalu94 (PID 2233310, user alice)`, without what is not known. */
export function holderText(holder: Holder): string {
  const place = [
    ...(holder.jobId === null ? [] : [`Job ${printable(holder.jobId)}`]),
    ...(holder.hostname === null ? [] : [printable(holder.hostname)]),
  ].join(" on ");
  const pid = holder.living?.pid ?? holder.pid;
  const process = pid === null ? [] : [`PID ${pid}`];
  const person = [...process, ...(holder.user === null ? [] : [`user ${printable(holder.user)}`])].join(", ");
  if (place === "") return person === "" ? "an unknown process" : person;
  return person === "" ? place : `${place} (${person})`;
}

/** `PID: 2233310, job 123456 on makalu94`, without what is not known. */
export function skipHolderText({ pid, living, jobId, hostname }: Holder): string {
  const job = [
    ...(jobId === null ? [] : [`job ${printable(jobId)}`]),
    ...(hostname === null ? [] : [`on ${printable(hostname)}`]),
  ];
  const words = job.join(" ");
  const first = `PID: ${living?.pid ?? pid ?? "unknown"}`;
  return words === "" ? first : jobId === null ? `${first} ${words}` : `${first}, ${words}`;
}

/** Command lines of trainings fill screens: this much of one tells which it is. */
const mostShown = 100;

/**
 * `PID 4711 (sleep 60) on node01 goes on, though PID 4700 has ended; end it to free the lock`: who keeps a lock in place of the
 * process that took it. Null where that one is not known to have ended.
 */
export function livingText({ pid, living }: Holder): string | null {
  if (living === null) return null;
  const line = printable(living.command.join(" "));
  const shown = line.length > mostShown ? `${line.slice(0, mostShown)}…` : line;
  const who = `PID ${living.pid} (${shown}) on ${printable(living.hostname)}`;
  const ended = pid === null ? "though the process that took the lock has ended" : `though PID ${pid} has ended`;
  return `${who} goes on, ${ended}; end it to free the lock`;
}
