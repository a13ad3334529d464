import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One run of a row, as its own command noted it. Times in milliseconds. */
export interface NotedRun {
  readonly row: string;
  readonly host: string;
  readonly pid: number;
  readonly job: string;
  readonly fromMs: number;
  /** Its last sign of life. */
  readonly lastMs: number;
  /** Its checkpoint is there since. */
  readonly okMs: number | null;
}

/** What `row.sh` noted below `ran`, by no word of any lock. A run without a whole first line has not begun yet. */
export function notedRuns(ran: string): NotedRun[] {
  const names = (folder: string) => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  };
  return names(ran).flatMap((row) =>
    names(join(ran, row)).flatMap((file) => {
      const lines = readFileSync(join(ran, row, file), "utf8")
        .split("\n")
        .slice(0, -1);
      const [, from, host = "", pid, job = ""] = /^start (\d+) (\S+) (\d+) (\S+)$/.exec(lines[0] ?? "") ?? [];
      if (from === undefined) return [];
      const timeOf = (line: string | undefined) => Number(line?.split(" ")[1]) / 1e6;
      const ok = lines.find((line) => line.startsWith("ok "));
      return {
        row: row.replaceAll("+", "/"),
        host,
        pid: Number(pid),
        job,
        fromMs: Number(from) / 1e6,
        lastMs: timeOf(lines.at(-1)),
        okMs: ok === undefined ? null : timeOf(ok),
      };
    }),
  );
}

/** Rows that two trained at once. */
export function overlaps(runs: readonly NotedRun[]): string[] {
  const sorted = runs.toSorted((a, b) => a.fromMs - b.fromMs);
  return sorted.flatMap((run, index) =>
    sorted
      .slice(0, index)
      .filter((before) => before.row === run.row && before.lastMs >= run.fromMs)
      .map((before) => `${run.row}: ${describe(before)} and ${describe(run)}`),
  );
}

const describe = ({ host, pid, job, fromMs, lastMs }: NotedRun) =>
  `PID ${pid} on ${host} (job ${job}) from ${time(fromMs)} to ${time(lastMs)}`;
const time = (ms: number) => new Date(ms).toISOString().slice(11, 23);

/** Rows that were trained to their end more than once. */
export function trainedTwice(runs: readonly NotedRun[]): string[] {
  const ended = runs.filter(({ okMs }) => okMs !== null).map(({ row }) => row);
  return ended.filter((row, index) => ended.indexOf(row) !== index);
}
