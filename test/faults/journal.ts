import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Interval, overlapsOf, readJournal, repeatedGenerations } from "../support/intervals.ts";
import { isRunning } from "../support/process-state.ts";

export interface Journal {
  /** By when they began; one that did not say that it ended, and has, ends with its last beat. `writer` is the wrapper's PID. */
  readonly intervals: readonly Interval[];
  readonly overlaps: readonly { readonly earlier: number; readonly text: string }[];
  readonly repeated: readonly string[];
}

export function readScene(folder: string): Journal {
  const path = join(folder, "journal");
  if (!existsSync(path)) return { intervals: [], overlaps: [], repeated: [] };
  const beats = new Map(
    readdirSync(folder)
      .filter((name) => name.startsWith("beat-"))
      .map((name) => [Number(name.slice(5)), beatIn(join(folder, name))]),
  );
  const ended = new Map([...beats].filter(([pid]) => !isRunning(pid)));
  const { intervals, complaints } = readJournal(path, ended);
  const met = complaints.map((text) => ({ earlier: Number(/occupied-by-(\d+)/.exec(text)?.[1]), text }));
  const inTime = overlapsOf(intervals).map(({ earlier, later }) => ({
    earlier: earlier.pid,
    text: `${earlier.pid} ran until ${earlier.to ?? "now"}, ${later.pid} from ${later.from} on`,
  }));
  return { intervals, overlaps: [...met, ...inTime], repeated: repeatedGenerations(intervals) };
}

function beatIn(path: string): bigint {
  return BigInt(readFileSync(path, "utf8").trim() || "0");
}
