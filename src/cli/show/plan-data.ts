import type { Plan, PlannedRow } from "../../grid/plan.ts";
import { lockJson } from "../../listing/lock-json.ts";
import { UsageError } from "../../model/errors.ts";
import { nearest } from "../../model/nearest.ts";
import { fieldOf } from "../../site/condition.ts";

/** The plan as one JSON document. The names are a contract. */
export function planJson(plan: Plan, grid: string | null, at: Date): unknown {
  return { ...planHeadJson(plan, grid, at), rows: plan.rows.map(planRowJson) };
}

/** All of it but its rows. */
export function planHeadJson({ counts }: Plan, grid: string | null, at: Date) {
  return { grid, at: at.toISOString(), counts };
}

export function planRowJson(row: PlannedRow): unknown {
  const { name, configuration, state, weightsDir, lock, progress, ends, rule, log } = row;
  return {
    name,
    configuration,
    state,
    reason: row.reason,
    doneBy: row.doneBy,
    done: { when: rule.patterns, minSize: rule.smallestBytes, file: rule.file },
    weightsDir,
    lock: lock === null ? null : lockJson(lock),
    progress,
    attempts: ends.attempts,
    maxAttempts: row.maxAttempts,
    interruptions: ends.interruptions,
    lastEnd: ends.lastEnd,
    lastExit: ends.lastExit,
    job: lock?.holder?.jobId ?? row.queued?.job ?? null,
    log,
  };
}

/** Rows as lines of cells between tabs, below a header: what `cut`, `awk` and spreadsheets read. */
export function planTsv(rows: readonly PlannedRow[], fields: readonly string[]): string {
  const lines = rows.map(({ name, configuration, state, lock, progress, ends, weightsDir }) => [
    name,
    ...fields.map((field) => fieldOf(configuration, field)),
    state,
    lock?.holder?.user,
    lock?.holder?.jobId,
    lock?.holder?.hostname,
    lock?.startedAt,
    progress?.step,
    progress?.of,
    ends.attempts,
    ends.interruptions,
    ends.lastExit,
    weightsDir,
  ]);
  return lines.map((cells) => `${cells.map(cellText).join("\t")}\n`).join("");
}

export function tsvHeader(fields: readonly string[]): string {
  const names = ["name", ...fields, "state", "user", "job", "host", "since", "step", "of", ...endNames, "weights_dir"];
  return `${names.map(cellText).join("\t")}\n`;
}

const endNames = ["attempts", "interruptions", "last_exit"];

/** A tab or line end in a cell would make two of it. */
function cellText(value: string | number | null | undefined): string {
  return String(value ?? "").replaceAll(
    /\p{Cc}/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** Throws a UsageError for a name in braces that is near to one of a field. */
export function requireFormat(format: string, fields: readonly string[]): void {
  const known = [...otherNames, ...fields];
  for (const [braces, name = ""] of format.matchAll(inBraces)) {
    const near = known.includes(name) ? null : nearest(name, known);
    if (near !== null) throw new UsageError(`--format: ${braces} is no field`, { hint: `did you mean {${near}}?` });
  }
}

const inBraces = /\{([a-z_0-9]+)\}/gi;
const otherNames = ["name", "state", "weights_dir"];

/** `{strategy} {model}` with the values of a row; what is no field stays as it is. */
export function formatRow(format: string, row: PlannedRow, fields: readonly string[]): string {
  return format.replaceAll(inBraces, (braces, name: string) => {
    if (name === "name") return row.name;
    if (name === "state") return row.state;
    if (name === "weights_dir") return row.weightsDir;
    return fields.includes(name) ? String(fieldOf(row.configuration, name) ?? "") : braces;
  });
}
