import { type End, ends } from "../model/run-ends.ts";
import { type Cleared, ClearedClaims } from "./cleared-claims.ts";
import { inOrder } from "./order-of-runs.ts";
import { type EventTaker, type FoundEvent, readEvents, type WantedEvents } from "./read-events.ts";

/** How a run stands: how it ended, or that nothing says so. That is no word for its death. */
export type RunState = End | "no-end";
export const runStates: readonly RunState[] = [...ends, "no-end"];

/** One run, as the history has it. */
export interface HistoryRun {
  readonly name: string;
  /** Null: it has none, or nobody has noted it. */
  readonly stage: string | null;
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
  /** It was killed or lost, and somebody cleared its lock; absent: its lock was not cleared, or it said itself how it ended. */
  readonly cleared?: Cleared;
}

/** A job that was turned away. */
export interface Refusal {
  readonly name: string;
  readonly stage: string | null;
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
  /** Lines that are no events, or looked like some and were none. */
  readonly torn: number;
  /** Files that could not be read, with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** The runs of a site. */
export function readRuns(lockDir: string, wanted: WantedEvents): HistoryOfRuns {
  const collector = new RunCollector();
  const { torn, unreadable } = readEvents(lockDir, collector, wanted);
  const found = collector.finish();
  return { ...found, torn: torn + found.torn, unreadable };
}

/** What the events of one claim say. */
interface Claim {
  claimedMs: number | null;
  /** Needed only while nobody has found its end, which says all of this and more. */
  claimed: FoundEvent | null;
  /** `handed-over`: the training goes on under the claim of its wrapper. `torn`: it makes no sense. */
  ended: EndedRun | "handed-over" | "torn" | null;
  lost: FoundEvent | null;
  takenOver: FoundEvent | null;
}

/** A run of whose end its own event tells. What other events add to it comes last. */
type EndedRun = { -readonly [Key in keyof HistoryRun]: HistoryRun[Key] };

/**
 * Puts the events together to runs. A lab has a hundred thousand of them: of each no more is kept than is shown, and nothing
 * of the files' texts.
 */
class RunCollector implements EventTaker {
  readonly #claims = new Map<string, Claim>();
  readonly #refusals = new Map<string, Refusal>();
  readonly #arrays: SubmittedArray[] = [];
  readonly #cleared = new ClearedClaims();
  readonly #names = new Map<string, string>();
  /** Claims of which this file has told, and no end. */
  #open: Claim[] = [];
  #torn = 0;

  take(found: FoundEvent): void {
    const { event, token } = found;
    if (event === "claimed" || event === "ended" || event === "lost") {
      if (token !== null) this.#takeOfClaim(this.#claimOf(token), event, found);
    } else if (event === "taken-over") {
      const of = found.values()?.of;
      if (typeof of === "string") this.#claimOf(of).takenOver ??= found;
    } else if (event === "cleared") this.#cleared.take(found);
    else if (event === "refused") this.#takeRefusal(refusalFrom(found));
    else if (event === "submitted") {
      const array = arrayFrom(found);
      if (array === null) this.#torn += 1;
      else this.#arrays.push(array);
    }
  }

  fileEnds(): void {
    for (const { claimed } of this.#open) claimed?.values();
    this.#open = [];
  }

  finish(): Omit<HistoryOfRuns, "unreadable"> {
    const runs: HistoryRun[] = [];
    for (const claim of this.#claims.values()) {
      if (claim.ended === "handed-over") continue;
      const run = runFrom(claim);
      if (run === null) this.#torn += 1;
      else runs.push(this.#closed(run));
    }
    const arrays = this.#arrays.sort((a, b) => a.atMs - b.atMs);
    return { runs: inOrder(runs), refusals: [...this.#refusals.values()], arrays, torn: this.#torn };
  }

  #closed(run: HistoryRun): HistoryRun {
    const cleared = run.state === "no-end" && run.endedMs === null ? this.#cleared.of(run) : null;
    return cleared === null ? run : { ...run, state: "interrupted", cleared };
  }

  #claimOf(token: string): Claim {
    // A text of its own: what was cut out of a file's text keeps all of that.
    const key = `#${token}`;
    const known = this.#claims.get(key);
    if (known !== undefined) return known;
    const made: Claim = { claimedMs: null, claimed: null, ended: null, lost: null, takenOver: null };
    this.#claims.set(key, made);
    return made;
  }

  #takeOfClaim(claim: Claim, event: "claimed" | "ended" | "lost", found: FoundEvent): void {
    if (event === "claimed") {
      claim.claimedMs ??= found.atMs;
      if (claim.ended !== null || claim.claimed !== null) return;
      claim.claimed = found;
      this.#open.push(claim);
    } else if (event === "ended") {
      claim.ended ??= this.#endOf(found);
      claim.claimed = null;
    } else {
      claim.lost ??= found;
      found.values();
    }
  }

  #endOf(found: FoundEvent): NonNullable<Claim["ended"]> {
    const values = found.values();
    if (values?.handedOver === true) return "handed-over";
    const run = values === null ? null : endedRun(found, values);
    if (run === null) return "torn";
    // Many runs have few names.
    const name = this.#names.get(run.name) ?? run.name;
    this.#names.set(name, name);
    run.name = name;
    return run;
  }

  #takeRefusal(refusal: Refusal | null): void {
    if (refusal === null) {
      this.#torn += 1;
      return;
    }
    const key = JSON.stringify([refusal.name, refusal.stage, refusal.uid, refusal.asker, refusal.holder]);
    const before = this.#refusals.get(key);
    if (before === undefined || refusal.atMs < before.atMs) this.#refusals.set(key, refusal);
  }
}

/** Null: none of its events makes sense. */
function runFrom({ claimedMs, claimed, ended, lost, takenOver }: Claim): HistoryRun | null {
  if (ended === "torn" || ended === "handed-over") return null;
  if (ended !== null) {
    ended.startedMs = claimedMs ?? ended.startedMs;
    if (lost === null && takenOver === null) return ended;
    if (ended.state === "no-end") ended.state = "interrupted";
    ended.evidence = evidenceOf(ended.evidence, lost, takenOver);
    return ended;
  }
  const main = claimed ?? lost;
  const values = (main ?? takenOver)?.values() ?? null;
  const name = text(values?.name);
  const uid = (main ?? takenOver)?.uid;
  if (values === null || name === null || uid === undefined) return null;
  return {
    name,
    stage: text(values.stage),
    state: lost !== null || takenOver !== null ? "interrupted" : "no-end",
    startedMs: claimedMs,
    endedMs: lost?.atMs ?? null,
    seconds: null,
    exit: null,
    uid,
    ...placeOf(main === null ? objectOr(values.from) : values),
    gpus: main === null ? null : number(values.gpus),
    attempt: number(values.attempt),
    checkpoint: null,
    command: main === null ? null : texts(values.command),
    evidence: evidenceOf(noEvidence, lost, takenOver),
  };
}

const noEvidence: readonly string[] = [];

function evidenceOf(
  ofEnd: readonly string[],
  lost: FoundEvent | null,
  takenOver: FoundEvent | null,
): readonly string[] {
  // Marker and kernel lock of one run are proved dead by the same.
  return [...new Set([...reasonOf(lost), ...ofEnd, ...(texts(takenOver?.values()?.evidence) ?? [])])];
}

function endedRun(found: FoundEvent, values: Readonly<Record<string, unknown>>): EndedRun | null {
  const name = text(values.name);
  if (name === null) return null;
  const seconds = number(values.seconds);
  return {
    name,
    stage: text(values.stage),
    state: ends.find((known) => known === values.end) ?? "no-end",
    startedMs: seconds === null ? null : found.atMs - seconds * 1000,
    endedMs: found.atMs,
    seconds,
    exit: number(values.exit),
    uid: found.uid,
    ...placeOf(values),
    gpus: number(values.gpus),
    attempt: number(values.attempt),
    checkpoint: text(values.checkpoint),
    command: texts(values.command),
    evidence: reasonOf(found),
  };
}

function placeOf(values: Readonly<Record<string, unknown>>) {
  const { generation, host, pid, job } = values;
  return { generation: number(generation), host: text(host), pid: number(pid), job: text(job) };
}

function reasonOf(found: FoundEvent | null): readonly string[] {
  const why = text(found?.values()?.why);
  return why === null ? noEvidence : [why];
}

function refusalFrom(found: FoundEvent): Refusal | null {
  const values = found.values();
  const [name, asker] = [text(values?.name), text(values?.asker)];
  if (values === null || name === null || asker === null) return null;
  const { generation, pid, host } = objectOr(values.holder);
  const holder = { generation: number(generation), pid: number(pid), host: text(host) };
  return {
    name,
    stage: text(values.stage),
    uid: found.uid,
    asker,
    atMs: found.atMs,
    gpus: number(values.gpus),
    holder,
  };
}

function arrayFrom(found: FoundEvent): SubmittedArray | null {
  const values = found.values();
  const [name, job] = [text(values?.name), text(values?.submission)];
  if (values === null || name === null || job === null) return null;
  return { name, job, rows: number(values.rows), uid: found.uid, atMs: found.atMs };
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
