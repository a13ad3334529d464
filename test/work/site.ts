import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RunningProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { type CallOptions, startTrainlock, trainlock } from "../support/trainlock.ts";

/** A site with a grid of rows `s1/d/m`, `s2/d/m` and so on. */
export interface WorkSite {
  readonly root: string;
  readonly grid: string;
  weightsDir(strategy: string): string;
  write(name: string, text: string): string;
  /** What commands wrote into a file of the root, line by line. */
  lines(name: string): string[];
  logOf(strategy: string): string;
  work(options: readonly string[], command: readonly string[], call?: CallOptions): ReturnType<typeof trainlock>;
  start(options: readonly string[], command: readonly string[], call?: CallOptions): RunningProcess;
}

export const namesTo = (count: number) => Array.from({ length: count }, (_, index) => `s${index + 1}`);

export async function workSite(strategies: readonly string[] | string): Promise<WorkSite> {
  const root = await temporaryRoot();
  const grid = join(root, "grid.yaml");
  const text =
    typeof strategies === "string"
      ? strategies
      : `- { strategy: [${strategies.map((name) => JSON.stringify(name)).join(", ")}], dataset: D, model: m }\n`;
  writeFileSync(grid, text);
  const argumentsOf = (options: readonly string[], command: readonly string[]) => [
    "work",
    ...(options.includes("--no-grid") ? options.filter((each) => each !== "--no-grid") : [grid, ...options]),
    "--root",
    root,
    "--scheduler",
    "none",
    "--",
    ...command,
  ];
  const weightsDir = (strategy: string) => join(root, "WEIGHTS", strategy, "d_cd", "m");
  return {
    root,
    grid,
    weightsDir,
    write: (name, content) => {
      writeFileSync(join(root, name), content);
      return join(root, name);
    },
    lines: (name) => {
      const path = join(root, name);
      return existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
    },
    logOf: (strategy) => {
      const folder = join(weightsDir(strategy), "trainlock-logs");
      const [last = ""] = readdirSync(folder).sort().reverse();
      return readFileSync(join(folder, last), "utf8");
    },
    work: (options, command, call) => trainlock(argumentsOf(options, command), { timeoutMs: 60_000, ...call }),
    start: (options, command, call) => startTrainlock(argumentsOf(options, command), { timeoutMs: 60_000, ...call }),
  };
}

/** A training: notes its row in `ran`, and leaves what `--done-when final.pth` looks for. */
export function training(root: string, more = ""): string[] {
  const script = `echo "$TRAINLOCK_STRATEGY $TRAINLOCK_GENERATION" >>"${root}/ran"; ${more}
    head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"`;
  return ["sh", "-c", script];
}

export const done = ["--done-when", "final.pth"] as const;
