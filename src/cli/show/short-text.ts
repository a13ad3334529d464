import type { LockReport } from "../../listing/lock-report.ts";
import { durationText } from "../../model/durations.ts";
import type { Verdict } from "../../model/evidence.ts";
import { printable } from "../../model/printable.ts";
import type { Paint } from "./paint.ts";

type Status = Verdict["status"];

/** The locks of one training as one. */
interface Training {
  readonly name: string;
  readonly status: Status;
  readonly user: string | null;
  readonly jobId: string | null;
  readonly host: string | null;
  /** Milliseconds since the epoch; null: not known. */
  readonly startedMs: number | null;
}

/** The surest first: one living lock of a training says that it is trained. */
export const statuses = ["active", "unknown", "unverified", "stale"] as const satisfies readonly Status[];
export const sortKeys = ["name", "state", "user", "job", "host", "elapsed"] as const;
export type SortKey = (typeof sortKeys)[number];

export function trainingsOf(locks: readonly LockReport[]): readonly Training[] {
  const byTraining = new Map<string, LockReport[]>();
  for (const lock of locks) byTraining.set(lock.training, [...(byTraining.get(lock.training) ?? []), lock]);
  return [...byTraining.values()].flatMap((all) => {
    const surest = statuses.map((status) => all.find(({ verdict }) => verdict.status === status)).find(Boolean);
    if (surest === undefined) return [];
    const alike = all.filter(({ verdict }) => verdict.status === surest.verdict.status);
    const first = <T>(of: (lock: LockReport) => T | null): T | null =>
      alike.map(of).find((value) => value !== null) ?? null;
    const startedMs = Date.parse(
      first(({ holder }) => holder?.acquiredAt ?? null) ?? first(({ startedAt }) => startedAt) ?? "",
    );
    return {
      name: surest.name,
      status: surest.verdict.status,
      user: first(({ user }) => user),
      jobId: first(({ holder }) => holder?.jobId ?? null),
      host: first(({ holder }) => holder?.living?.hostname ?? holder?.hostname ?? null),
      startedMs: Number.isNaN(startedMs) ? null : startedMs,
    };
  });
}

/** The longest training first where that is asked for; else by code units, what is not known last. */
export function sortedBy(trainings: readonly Training[], key: SortKey): readonly Training[] {
  const textOf = {
    name: ({ name }: Training) => name,
    state: ({ status }: Training) => String(statuses.indexOf(status)),
    user: ({ user }: Training) => user,
    job: ({ jobId }: Training) => jobId,
    host: ({ host }: Training) => host,
  };
  return [...trainings].sort((a, b) => {
    if (key === "elapsed") return (a.startedMs ?? Infinity) - (b.startedMs ?? Infinity) || compare(a.name, b.name);
    return compare(textOf[key](a), textOf[key](b)) || compare(a.name, b.name);
  });
}

function compare(a: string | null, b: string | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a < b ? -1 : a > b ? 1 : 0;
}

const gap = "  ";
const heads = ["NAME", "STATE", "USER", "JOB", "HOST", "ELAPSED"];
/** The width of user, job and host. Most of them fit, and a name still has its place in 80 columns. */
const mostShown = 14;

/** One line a training, none longer than so many columns; a text that is cut ends in the middle, for its end tells it apart. */
export function shortText(trainings: readonly Training[], nowMs: number, columns: number, paint: Paint): string {
  if (trainings.length === 0) return "No active training locks\n";
  const rows = trainings.map(({ name, status, user, jobId, host, startedMs }) => [
    printable(name),
    status.toUpperCase(),
    ...[user, jobId, host].map((text) => cut(text === null ? "-" : printable(text), mostShown)),
    startedMs === null || startedMs > nowMs ? "-" : durationText(nowMs - startedMs),
  ]);
  const widths = heads.map((head, index) => Math.max(head.length, ...rows.map((row) => lengthOf(row[index] ?? ""))));
  const others = widths.slice(1).reduce((sum, width) => sum + gap.length + width, 0);
  widths[0] = Math.max(heads[0]?.length ?? 0, Math.min(widths[0] ?? 0, columns - others));
  const colours = { active: paint.green, stale: paint.red, unknown: paint.yellow, unverified: paint.yellow };
  const line = (row: readonly string[], status: Status | null) =>
    row
      .map((text, index) => {
        const shown = cut(text, widths[index] ?? 0);
        const padded = shown + " ".repeat((widths[index] ?? 0) - lengthOf(shown));
        return index === 1 && status !== null ? colours[status](padded) : padded;
      })
      .join(gap)
      .trimEnd();
  const lines = rows.map((row, index) => line(row, trainings[index]?.status ?? null));
  return [line(heads, null), ...lines].map((text) => `${text}\n`).join("");
}

function lengthOf(text: string): number {
  return [...text].length;
}

function cut(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  const end = Math.floor((width - 1) / 2);
  return `${characters.slice(0, width - 1 - end).join("")}…${end === 0 ? "" : characters.slice(-end).join("")}`;
}
