import { type End, ends } from "../model/run-ends.ts";
import type { FoundEvent } from "./read-events.ts";

/** How a run stands: how it ended, or that nothing says so. That is no word for its death. */
export type RunState = End | "no-end";
export const runStates: readonly RunState[] = [...ends, "no-end"];

/** One run, as the history has it. */
export interface HistoryRun {
  readonly name: string;
  readonly generation: number | null;
  readonly state: RunState;
  /** Milliseconds since the epoch; null: not known. */
  readonly startedMs: number | null;
  readonly endedMs: number | null;
  readonly seconds: number | null;
  readonly exit: number | null;
  readonly uid: number;
  readonly host: string | null;
  readonly pid: number | null;
  readonly job: string | null;
  readonly gpus: number | null;
  readonly attempt: number | null;
  readonly checkpoint: string | null;
  readonly command: readonly string[] | null;
  /** What says more about its end: why the lock was lost, what showed that it was killed. */
  readonly evidence: readonly string[];
}

/** A job that was turned away. */
export interface Refusal {
  readonly name: string;
  readonly uid: number;
  readonly asker: string;
  readonly atMs: number;
  readonly gpus: number | null;
  readonly holder: { readonly generation: number | null; readonly pid: number | null; readonly host: string | null };
}

/** An array of rows that was submitted. */
export interface SubmittedArray {
  readonly name: string;
  readonly uid: number;
  readonly atMs: number;
  readonly rows: number | null;
  readonly job: string;
}

export interface HistoryOfRuns {
  /** By their start, and the runs of one configuration by their generation. */
  readonly runs: readonly HistoryRun[];
  /** Each job and holder once. */
  readonly refusals: readonly Refusal[];
  /** By their time. */
  readonly arrays: readonly SubmittedArray[];
  /** Lines that looked like events, and were none. */
  readonly torn: number;
}

/** What the events of one claim say. */
interface Claim {
  claimed: FoundEvent | null;
  ended: FoundEvent | null;
  lost: FoundEvent | null;
  takenOver: FoundEvent | null;
}

/** Puts the events together to runs. */
export function runsOf(events: readonly FoundEvent[]): HistoryOfRuns {
  const claims = new Map<string, Claim>();
  const refusals = new Map<string, Refusal>();
  const arrays: SubmittedArray[] = [];
  let torn = 0;
  const claimOf = (token: string): Claim => {
    const known = claims.get(token);
    if (known !== undefined) return known;
    const made: Claim = { claimed: null, ended: null, lost: null, takenOver: null };
    claims.set(token, made);
    return made;
  };
  for (const found of events) {
    const { event, token } = found;
    if (token !== null && (event === "claimed" || event === "ended" || event === "lost"))
      claimOf(token)[event] ??= found;
    else if (event === "taken-over") {
      const of = found.values()?.of;
      if (typeof of === "string") claimOf(of).takenOver ??= found;
    } else if (event === "refused") {
      const refusal = refusalFrom(found);
      if (refusal === null) {
        torn += 1;
        continue;
      }
      const key = JSON.stringify([refusal.name, refusal.uid, refusal.asker, refusal.holder]);
      const before = refusals.get(key);
      if (before === undefined || refusal.atMs < before.atMs) refusals.set(key, refusal);
    } else if (event === "submitted") {
      const array = arrayFrom(found);
      if (array === null) torn += 1;
      else arrays.push(array);
    }
  }
  const runs: HistoryRun[] = [];
  for (const claim of claims.values()) {
    // The training goes on under the claim of its wrapper.
    if (claim.ended?.values()?.handedOver === true) continue;
    const run = runFrom(claim);
    if (run === null) torn += 1;
    else runs.push(run);
  }
  arrays.sort((a, b) => a.atMs - b.atMs);
  return { runs: inOrder(runs), refusals: [...refusals.values()], arrays, torn };
}

/** Null: none of its events makes sense. */
function runFrom({ claimed, ended, lost, takenOver }: Claim): HistoryRun | null {
  // The end says all that the beginning does: that is read only where there is no end.
  const main = ended ?? claimed ?? lost;
  const values = (main ?? takenOver)?.values() ?? null;
  const name = text(values?.name);
  const uid = (main ?? takenOver)?.uid;
  if (values === null || name === null || uid === undefined) return null;
  const from = main === null ? objectOr(values.from) : values;
  const seconds = main === ended ? number(values.seconds) : null;
  const end = main === ended ? (ends.find((known) => known === values.end) ?? null) : null;
  const startedMs = claimed?.atMs ?? (ended !== null && seconds !== null ? ended.atMs - seconds * 1000 : null);
  return {
    name,
    generation: number(from.generation),
    state: end ?? (lost !== null || takenOver !== null ? "interrupted" : "no-end"),
    startedMs,
    endedMs: ended?.atMs ?? lost?.atMs ?? null,
    seconds,
    exit: main === ended ? number(values.exit) : null,
    uid,
    host: text(from.host),
    pid: number(from.pid),
    job: text(from.job),
    gpus: main === null ? null : number(values.gpus),
    attempt: number(values.attempt),
    checkpoint: main === ended ? text(values.checkpoint) : null,
    command: main === null ? null : texts(values.command),
    evidence: evidenceOf(main === ended ? ended : null, lost, takenOver),
  };
}

function evidenceOf(
  ended: FoundEvent | null,
  lost: FoundEvent | null,
  takenOver: FoundEvent | null,
): readonly string[] {
  const reasons = [lost, ended].flatMap((found) => text(found?.values()?.why) ?? []);
  return [...new Set(reasons), ...(texts(takenOver?.values()?.evidence) ?? [])];
}

function refusalFrom(found: FoundEvent): Refusal | null {
  const values = found.values();
  const [name, asker] = [text(values?.name), text(values?.asker)];
  if (values === null || name === null || asker === null) return null;
  const { generation, pid, host } = objectOr(values.holder);
  const holder = { generation: number(generation), pid: number(pid), host: text(host) };
  return { name, uid: found.uid, asker, atMs: found.atMs, gpus: number(values.gpus), holder };
}

function arrayFrom(found: FoundEvent): SubmittedArray | null {
  const values = found.values();
  const [name, job] = [text(values?.name), text(values?.submission)];
  if (values === null || name === null || job === null) return null;
  return { name, job, rows: number(values.rows), uid: found.uid, atMs: found.atMs };
}

/** Clocks differ and jump: within a configuration the generation says what came first. */
function inOrder(runs: readonly HistoryRun[]): HistoryRun[] {
  const sorted = [...runs].sort((a, b) => timeOf(a) - timeOf(b));
  const places = new Map<string, number[]>();
  sorted.forEach(({ name, generation }, place) => {
    if (generation === null) return;
    const known = places.get(name);
    if (known === undefined) places.set(name, [place]);
    else known.push(place);
  });
  const result = [...sorted];
  for (const own of places.values()) {
    if (own.length < 2) continue;
    const byGeneration = own
      .flatMap((place) => sorted[place] ?? [])
      .sort((a, b) => (a.generation ?? 0) - (b.generation ?? 0));
    own.forEach((place, nth) => {
      const run = byGeneration[nth];
      if (run !== undefined) result[place] = run;
    });
  }
  return result;
}

function timeOf({ startedMs, endedMs }: HistoryRun): number {
  return startedMs ?? endedMs ?? 0;
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function texts(value: unknown): readonly string[] | null {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : null;
}

function objectOr(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
