import { readFileSync } from "node:fs";

/** One holding, from the first thing its holder did to the last, by CLOCK_MONOTONIC in nanoseconds. */
export interface Interval {
  readonly configuration: string;
  readonly pid: number;
  readonly from: bigint;
  /** Null when its holder neither ended nor was killed. */
  readonly to: bigint | null;
  readonly generation: number;
  readonly writer: string;
  /** When the holder saw that its lock file had lost its name. */
  readonly unnamedAt: bigint | null;
  readonly killed: boolean;
}

interface Line {
  readonly what: string;
  readonly configuration: string;
  readonly process: string;
  readonly at: bigint;
  readonly generation: number;
  readonly writer: string;
}

/** What holders logged, and what the test noted of those that it killed: `killed PID TIME`, before the signal was sent. */
export function readJournal(
  path: string,
  kills: ReadonlyMap<number, bigint>,
): { intervals: Interval[]; complaints: string[] } {
  const lines = readFileSync(path, "utf8").split("\n").filter(Boolean).map(parseLine);
  const complaints = lines.filter(({ what }) => what.startsWith("occupied") || what === "lost").map(describeLine);
  const open = new Map<string, Interval>();
  const intervals: Interval[] = [];
  const keyOf = ({ process, configuration, generation }: Line) => `${process} ${configuration} ${generation}`;
  for (const line of lines) {
    const { configuration, process, at, generation, writer } = line;
    const key = keyOf(line);
    const begun = open.get(key);
    if (line.what === "enter") {
      const pid = Number(process.split(" ")[0]);
      open.set(key, { configuration, pid, from: at, to: null, generation, writer, unnamedAt: null, killed: false });
    } else if (begun && line.what === "unnamed") open.set(key, { ...begun, unnamedAt: at });
    else if (begun && line.what === "exit") {
      intervals.push({ ...begun, to: at });
      open.delete(key);
    }
  }
  for (const interval of open.values()) {
    const killedAt = kills.get(interval.pid);
    intervals.push(killedAt === undefined ? interval : { ...interval, to: killedAt, killed: true });
  }
  intervals.sort((a, b) => (a.from < b.from ? -1 : 1));
  return { intervals, complaints };
}

function parseLine(line: string): Line {
  const [what = "", configuration = "", pid = "", started = "", at = "0", generation = "0", writer = ""] =
    line.split(" ");
  return { what, configuration, process: `${pid} ${started}`, at: BigInt(at), generation: Number(generation), writer };
}

function describeLine({ what, configuration, process, generation }: Line): string {
  return `${configuration}: ${process.split(" ")[0]} ${what}, generation ${generation}`;
}

export interface Overlap {
  readonly earlier: Interval;
  readonly later: Interval;
}

/** Every two holdings of one configuration that had a moment in common. */
export function overlapsOf(intervals: readonly Interval[]): Overlap[] {
  const overlaps: Overlap[] = [];
  for (const group of byConfiguration(intervals)) {
    let open: Interval[] = [];
    for (const later of group) {
      open = open.filter(({ to }) => to === null || to > later.from);
      overlaps.push(...open.map((earlier) => ({ earlier, later })));
      open.push(later);
    }
  }
  return overlaps;
}

/** Generations that did not grow from one holding to the next. */
export function repeatedGenerations(intervals: readonly Interval[]): string[] {
  return byConfiguration(intervals).flatMap((group) =>
    group.flatMap((interval, index) => {
      const before = group[index - 1];
      if (before === undefined || interval.generation > before.generation) return [];
      return [`${interval.configuration}: generation ${interval.generation} after ${before.generation}`];
    }),
  );
}

function byConfiguration(intervals: readonly Interval[]): Interval[][] {
  const groups = new Map<string, Interval[]>();
  for (const interval of intervals) {
    const group = groups.get(interval.configuration) ?? [];
    groups.set(interval.configuration, [...group, interval]);
  }
  return [...groups.values()];
}

export function describeOverlap({ earlier, later }: Overlap): string {
  const one = ({ writer, pid, generation, from, to }: Interval) =>
    `${writer} ${pid} (generation ${generation}) ${from} to ${to ?? "no end"}`;
  return `${earlier.configuration}: ${one(earlier)} and ${one(later)}`;
}
