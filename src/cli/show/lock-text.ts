import type { LockReport } from "../../listing/lock-report.ts";
import type { Verdict } from "../../model/evidence.ts";
import type { Holder } from "../../model/holder.ts";
import { printable } from "../../model/printable.ts";
import type { Paint } from "./paint.ts";

const sectionTitles = {
  file: "File-based locks (.training_lock)",
  fcntl: "fcntl-based locks",
  etcd: "etcd locks",
} as const;

/** The list as users of the Python script know it, byte for byte. */
export function listText(locks: readonly LockReport[], paint: Paint, withEvidence = false): string {
  if (locks.length === 0) return "No active training locks\n";
  const sections = (["file", "fcntl", "etcd"] as const).flatMap((kind) => {
    const ofKind = locks.filter((lock) => lock.kind === kind);
    if (ofKind.length === 0) return [];
    const lines = ofKind.map((lock) => lockText(lock, paint) + (withEvidence ? evidenceText(lock) : ""));
    return [`=== ${sectionTitles[kind]} (${ofKind.length}) ===\n${lines.join("")}`];
  });
  return `${sections.join("\n")}\nTotal locks: ${locks.length}\n`;
}

function lockText(lock: LockReport, paint: Paint): string {
  const details = lock.kind === "file" ? markerDetails(lock) : kernelLockDetails(lock);
  const middle = details.length === 0 ? "" : `    ${details.join(", ")}\n`;
  return `${headText(lock, paint)}${middle}${placeText(lock)}`;
}

/** Name and verdict, where it lies, and why: what `clear` shows of a lock. */
export function briefLockText(lock: LockReport, paint: Paint): string {
  return `${headText(lock, paint)}${placeText(lock)}${evidenceText(lock)}`;
}

function placeText({ kind, path }: LockReport): string {
  return `    ${kind === "etcd" ? "Key" : "Lock file"}: ${printable(path)}\n`;
}

/** One line a finding: what it says, who says it, and in which words. */
function evidenceText({ evidence }: LockReport): string {
  const lines = evidence.map(({ source, says, detail }) => `    ${says.padEnd(7)} ${source}: ${printable(detail)}\n`);
  return lines.join("");
}

function headText(lock: LockReport, paint: Paint): string {
  return `  - ${printable(lock.name)} [${paintVerdict(lock.verdict, paint)}]\n`;
}

function paintVerdict({ status, label }: Verdict, paint: Paint): string {
  const colours = { active: paint.green, stale: paint.red, unknown: paint.yellow, unverified: paint.yellow };
  return colours[status](label);
}

function markerDetails({ pid, startedAt, holder }: LockReport): string[] {
  return [
    `PID: ${holder?.living?.pid ?? pid ?? "none"}`,
    ...(startedAt === null ? [] : [`Started: ${printable(startedAt)}`]),
  ];
}

function kernelLockDetails({ pid, startedAt, holder }: LockReport): string[] {
  const known = (title: string, value: string | number | null | undefined) =>
    value === null || value === undefined ? [] : [`${title}: ${printable(String(value))}`];
  return [
    ...known("PID", holder?.living?.pid ?? pid),
    ...known("Job", holder?.jobId),
    ...known("Host", holder?.hostname),
    ...known("User", holder?.user),
    ...known("Started", startedAt),
  ];
}

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
