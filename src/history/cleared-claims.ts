import type { FoundEvent } from "./read-events.ts";
import type { HistoryRun } from "./runs.ts";

/** Who cleared the lock of a run that had said nothing of its end, and when. */
export interface Cleared {
  /** User id. */
  readonly uid: number;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  /** The verdict by which it was cleared. */
  readonly label: string;
}

interface Holder {
  readonly generation: unknown;
  readonly pid: unknown;
  readonly host: unknown;
}

/** What the events `cleared` say of the runs whose locks they are about: marker and kernel lock have an event each. */
export class ClearedClaims {
  readonly #byHolder = new Map<string, Cleared>();

  take(found: FoundEvent): void {
    const values = found.values();
    const holder = values?.holder as Partial<Holder> | null | undefined;
    if (typeof values?.name !== "string" || typeof holder !== "object" || holder === null) return;
    const { generation = null, pid = null, host = null } = holder;
    // Nobody could know which run that was.
    if (generation === null || pid === null || host === null) return;
    const key = keyOf(values.name, { generation, pid, host });
    if (this.#byHolder.has(key)) return;
    const label = typeof values.label === "string" ? values.label : "";
    this.#byHolder.set(key, { uid: found.uid, atMs: found.atMs, label });
  }

  of({ name, generation, pid, host }: HistoryRun): Cleared | null {
    return this.#byHolder.get(keyOf(name, { generation, pid, host })) ?? null;
  }
}

function keyOf(name: string, { generation, pid, host }: Holder): string {
  return JSON.stringify([name, generation, pid, host]);
}
