import { basename } from "node:path";
import { configurationFlags, whyCommand } from "../grid/next-command.ts";
import type { PlannedRow } from "../grid/plan.ts";
import { withStage } from "../grid/row-name.ts";
import type { RowState } from "../grid/row-state.ts";
import { type DeathReason, type DoubtInUse, type DoubtReason, isInUse } from "../model/evidence.ts";
import { fieldOf } from "../site/condition.ts";

/** One row as a page shows it. Strings are as found: escape before showing. */
export interface BoardRow {
  /** Names it within its page, for as long as the board runs. */
  readonly id: string;
  readonly name: string;
  readonly state: RowState;
  /** The values of its fields, in the order of the site's names; null: none. */
  readonly fields: readonly (string | null)[];
  /** Who holds it or held it: user, job, host or PID, as far as is known. */
  readonly who: string | null;
  readonly where: string | null;
  readonly sinceMs: number | null;
  readonly step: number | null;
  readonly of: number | null;
  /** When it last wrote how far it is; null: not known. */
  readonly signMs: number | null;
  /** What is behind the state, in a few words. */
  readonly why: string;
  /** One line a finding. */
  readonly evidence: readonly string[];
  /** Of a failed row, the last lines of its log, and where that is. */
  readonly lastLines: readonly string[];
  readonly log: string | null;
  /** What to type about it; null: nothing has to be done. */
  readonly command: string | null;
}

/** What the rows of one page share. */
export interface RowSource {
  /** The names of the fields. */
  readonly names: readonly string[];
  /** As the call named it; null: it named none. */
  readonly gridFile: string | null;
  /** The last lines of a log. */
  readonly linesOf: (log: string) => readonly string[];
}

/** The states that somebody has to look at, the most urgent first. */
export const stuckStates: readonly RowState[] = ["stale", "unknown", "failed"];

export function boardRow(row: PlannedRow, index: number, { names, gridFile, linesOf }: RowSource): BoardRow {
  const { configuration, state, lock, progress } = row;
  const log = state === "failed" ? row.log : null;
  const holds = state === "running" || state === "unknown" || state === "stale";
  return {
    id: `r${index}`,
    name: withStage(row.name, row.configuration),
    state,
    fields: names.map((name) => textOf(fieldOf(configuration, name))),
    who: holds ? whoOf(row) : null,
    where: holds ? whereOf(row) : null,
    sinceMs: holds && lock !== null ? timeMs(lock.startedAt) : null,
    step: progress?.step ?? null,
    of: progress?.of ?? null,
    signMs: state === "running" ? timeMs(progress?.at ?? null) : null,
    why: whyOf(row),
    evidence: holds ? evidenceOf(row) : [],
    lastLines: log === null ? [] : linesOf(log),
    log,
    command: commandFor(row, gridFile),
  };
}

/** The progress in percent; null: the end is not known. A step beyond the end is 100. */
export function percentOf({ step, of }: Pick<BoardRow, "step" | "of">): number | null {
  return step === null || of === null || of === 0 ? null : Math.min(100, Math.floor((100 * step) / of));
}

function textOf(value: string | number | null): string | null {
  return value === null ? null : String(value);
}

function timeMs(iso: string | null): number | null {
  const ms = iso === null ? Number.NaN : Date.parse(iso);
  return Number.isFinite(ms) ? ms : null;
}

function whoOf({ lock }: PlannedRow): string | null {
  if (lock === null) return null;
  const pid = lock.holder?.pid ?? lock.pid;
  return lock.holder?.user ?? (pid === null ? null : `PID ${pid}`);
}

function whereOf({ lock }: PlannedRow): string | null {
  if (lock?.holder == null) return null;
  const { jobId, hostname, pid, user } = lock.holder;
  const process = jobId !== null ? `job ${jobId}` : pid === null || user === null ? "" : `PID ${pid}`;
  return [process, hostname === null ? "" : `on ${hostname}`].filter((text) => text !== "").join(" ") || null;
}

function whyOf({ state, lock, reason, doneBy, ends }: PlannedRow): string {
  const exit = ends.lastExit === null || ends.lastExit === 0 ? "" : `last exit ${ends.lastExit}`;
  switch (state) {
    case "unknown": {
      const doubt = reason ?? doubtOf(lock);
      return doneBy === null ? doubt : `${doubt}; its checkpoint ${basename(doneBy)} is there`;
    }
    case "stale":
      return lock === null || lock.verdict.status !== "stale" ? "" : deaths[lock.verdict.because];
    case "failed":
      return [`${ends.attempts === 1 ? "1 attempt" : `${ends.attempts} attempts`} failed`, exit]
        .filter(Boolean)
        .join(", ");
    case "done":
      return exit;
    case "blocked":
      return reason ?? "";
    case "free":
      return ends.interruptions === 0
        ? ""
        : `interrupted ${ends.interruptions === 1 ? "once" : `${ends.interruptions} times`}`;
    default:
      return reason ?? "";
  }
}

const deaths: Readonly<Record<DeathReason, string>> = {
  "lock not held": "nobody holds its lock any more",
  "PID not running": "its process is gone",
  "no PID": "its marker names no process",
  "host rebooted": "its host was started again since",
  "job ended": "its job has ended",
};

const doubts: Readonly<Record<Exclude<DoubtReason, DoubtInUse>, string>> = {
  "being created": "its marker is just being written",
  "other container": "its process is in another container",
  "remote process": "nobody can tell from here whether its process lives",
  "newer trainlock": "a newer trainlock wrote it",
  "job requeued": "its job waits to run again",
  "host not reached": "its host does not answer, and may train on",
  "still being written": "somebody has written into its weights dir a moment ago",
  "link leads nowhere here": "a link on the way to its weights dir leads nowhere here",
};

function doubtOf(lock: PlannedRow["lock"]): string {
  if (lock === null) return "";
  if (lock.verdict.status !== "unknown") return "nobody was asked whether its process lives";
  const { because } = lock.verdict;
  return isInUse(because) ? `its holder is gone, but its weights dir is ${because}` : doubts[because];
}

/** Most findings come from one look and are few; the page is not the place for all of a strange record. */
const mostFindings = 6;

function evidenceOf({ lock }: PlannedRow): string[] {
  return (lock?.evidence ?? [])
    .slice(0, mostFindings)
    .map(({ says, source, detail }) => `${source}: ${detail} (${says})`);
}

export function commandFor({ name, configuration, state, doneBy }: PlannedRow, gridFile: string | null): string | null {
  const flags = configurationFlags(configuration);
  if (state === "unknown" && doneBy !== null) return `trainlock clear ${flags} --force --no-dry-run`;
  if (state === "stale") return `trainlock run ${flags} -- COMMAND`;
  return state === "unknown" || state === "failed" ? whyCommand(withStage(name, configuration), gridFile) : null;
}
