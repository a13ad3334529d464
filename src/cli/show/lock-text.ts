import type { LockReport } from "../../listing/lock-report.ts";
import type { Verdict } from "../../model/evidence.ts";
import { printable } from "../../model/printable.ts";
import type { Paint } from "./paint.ts";
import { terminalColumns, wrapped } from "./wrapped.ts";

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

/** One line a finding, as long as a terminal is wide: what it says, who says it, and in which words. */
function evidenceText({ evidence }: LockReport): string {
  const columns = terminalColumns();
  const lines = evidence.map(({ source, says, detail }) => `    ${says.padEnd(7)} ${source}: ${printable(detail)}`);
  return lines.map((line) => `${wrapped(line, columns)}\n`).join("");
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
