/** How far a run has come, as far as its folder shows. */
export interface Progress {
  readonly step: number;
  /** The last step; null: not known. */
  readonly of: number | null;
  /** The file that says so, within the weights dir. */
  readonly source: string;
  /** When it was written, local ISO time; null: not looked up. */
  readonly at: string | null;
}

/** A run that has written nothing for so long is called quiet. It is no sign of death: some write once an epoch. */
const quietAfterMs = 3_600_000;

/** For how long a run has written nothing, milliseconds; null: not known, or not worth a word. */
export function quietMs({ at }: Progress, nowMs: number): number | null {
  const silentMs = at === null ? Number.NaN : nowMs - Date.parse(at);
  return silentMs >= quietAfterMs ? silentMs : null;
}

/** What a file says: a step, and what it counts. */
export interface Step {
  readonly step: number;
  readonly of: number | null;
  readonly unit: "iterations" | "epochs" | "unknown";
}

/** A step as it is written: a whole number, and not so large that it is none. Null for anything else. */
export function stepOf(value: unknown): number | null {
  const number = typeof value === "string" && /^\s*\d{1,15}(\.0*)?\s*$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 && number < 1e15 ? number : null;
}
