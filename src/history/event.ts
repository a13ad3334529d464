import type { Configuration } from "../model/configuration.ts";
import type { Holder } from "../model/holder.ts";
import type { End } from "../model/run-ends.ts";

/** Whoever holds or held a lock, as far as that is known. */
export interface EventHolder {
  readonly user: string | null;
  readonly host: string | null;
  readonly pid: number | null;
  /** As its scheduler spells it. */
  readonly job: string | null;
  readonly generation: number | null;
}

export function eventHolder({ user, hostname, pid, jobId, generation }: Holder): EventHolder {
  return { user, host: hostname, pid, job: jobId, generation };
}

/** What happened to a configuration. */
export type EventDetail =
  | { readonly event: "claimed"; readonly attempt: number; readonly command: readonly string[] | null }
  | {
      readonly event: "ended";
      readonly attempt: number;
      /** Null: whoever released the lock did not say. */
      readonly end: End | null;
      readonly exit: number | null;
      readonly seconds: number | null;
      readonly checkpoint: string | null;
      readonly attempts: number;
      readonly interruptions: number;
      /** Why its command was not run to its end. */
      readonly why?: string;
      /** The lock has gone over to another claim, of the same training. */
      readonly handedOver?: true;
      /** Said once more: the end alone tells a whole run. */
      readonly command: readonly string[] | null;
    }
  | { readonly event: "lost"; readonly why: string }
  /** A dead lock was replaced. `of`: the claim that it was of; null: a job of old. */
  | {
      readonly event: "taken-over";
      readonly of: string | null;
      readonly from: EventHolder | null;
      readonly evidence: readonly string[];
    }
  | { readonly event: "refused"; readonly holder: EventHolder; readonly asker: string }
  | { readonly event: "skipped"; readonly by: string; readonly asker: string }
  | { readonly event: "cleared"; readonly path: string; readonly label: string; readonly holder: EventHolder | null }
  | { readonly event: "submitted"; readonly rows: number; readonly submission: string };

/** Which claim an event is of, and whose configuration. */
export interface EventSubject {
  /** The claim; null: of none. */
  readonly token: string | null;
  readonly generation: number | null;
  /** As lists show it. */
  readonly name: string;
  /** The stages of a configuration have one name; absent or null: it has none. */
  readonly stage?: Configuration["stage"];
}

/** Where an event came from. */
export interface EventPlace {
  readonly host: string;
  readonly pid: number;
  readonly job: string | null;
  /** How many GPUs the job has; null: not known. */
  readonly gpus: number | null;
}

/** One write of less than a page is one write on every file system. */
const mostBytes = 4000;

/**
 * The line of an event. Its first keys are always the same, in the same order. So a reader can skip an event without reading
 * the whole line. A long line is cut: first the command, then texts.
 */
export function eventLine(at: Date, subject: EventSubject, place: EventPlace, detail: EventDetail): string {
  const { event, ...said } = detail;
  const { stage = null, ...claim } = subject;
  const head = { at: at.toISOString(), event, ...claim, ...place };
  const rest = stage === null ? said : { stage: String(stage), ...said };
  for (const longest of [3000, 1000, 300, 100]) {
    const line = JSON.stringify({ ...head, ...cut(rest, longest) });
    if (Buffer.byteLength(line) < mostBytes) return line;
  }
  return JSON.stringify({ ...head, name: head.name.slice(0, 300) }).slice(0, mostBytes);
}

function cut(values: Readonly<Record<string, unknown>>, longest: number): Record<string, unknown> {
  const short = (text: string) => (text.length <= longest ? text : `${text.slice(0, longest)}…`);
  const entries = Object.entries(values).map(([key, value]): [string, unknown] => {
    if (typeof value === "string") return [key, short(value)];
    return [key, Array.isArray(value) ? cutList(value.map(String), longest) : value];
  });
  return Object.fromEntries(entries);
}

export function cutList(texts: readonly string[], longest: number): readonly string[] {
  const kept: string[] = [];
  let left = longest;
  for (const text of texts) {
    if (text.length > left) return [...kept, "…"];
    kept.push(text);
    left -= text.length;
  }
  return kept;
}
