import { basename } from "node:path";
import { Scanner } from "../../board/scanner.ts";
import type { Snapshot } from "../../board/snapshot.ts";
import { firstView, pressKey, readKeys, screenOf, type TopView, wholeText } from "../../board/top-view.ts";
import { exitCodes } from "../../model/errors.ts";
import { signalNumber } from "../../system/processes/signals.ts";
import { defineCommand, optionalOperand, type ValuesOf } from "../command.ts";
import { isTerminal, print } from "../output.ts";
import { openPlanSource, planSourceOptions } from "../plan-source.ts";
import { FullScreen } from "../show/full-screen.ts";
import { paintFor } from "../show/paint.ts";
import { takeSnapshots, type Watching, watchOthers } from "../snapshots.ts";

export const command = defineCommand({
  summary: "the plan of a grid in a terminal, watched: what is stuck first",
  options: planSourceOptions,
  operands: {
    grid: optionalOperand(
      "grid file: .yaml, .csv, .tsv or .jsonl (else the site's grid, else all configurations that are known)",
    ),
  },
  notes:
    "Arrows move, / filters, Enter shows the evidence of a row, q quits. Without a terminal it prints all rows once.",
  examples: ["trainlock top grid.yaml", "trainlock top --root /data", "trainlock top grid.yaml | head"],
  exitCodes: {
    0: "quit, or printed",
    2: "the call or the grid is wrong",
    3: "no such root, or something could not be looked at",
  },
  execute: ({ grid, ...given }) => top(grid, given),
});

async function top(gridFile: string | undefined, given: ValuesOf<typeof planSourceOptions>): Promise<number> {
  const others = watchOthers();
  const source = openPlanSource(gridFile, given, { watching: others.asks });
  const view = firstView(basename(gridFile ?? source.layout.root));
  // A mistake in the grid is reported before the screen is taken.
  if (gridFile !== undefined) await source.rows();
  const takeSnapshot = takeSnapshots(source);
  if (isTerminal(1) && process.stdin.isTTY)
    return watch(view, takeSnapshot, others, new FullScreen(paintFor(1, given.color)));
  const snapshot = await takeSnapshot();
  print(wholeText({ ...view, snapshot }, Date.now()));
  return snapshot.problems.length === 0 ? exitCodes.ok : exitCodes.environment;
}

/** Ages go on between two scans. */
const redrawMs = 5000;

function watch(
  first: TopView,
  takeSnapshot: () => Promise<Snapshot>,
  { takeAskedMs }: Watching,
  screen: FullScreen,
): Promise<number> {
  let view = first;
  const scanner = new Scanner(takeSnapshot, takeAskedMs);
  const draw = () => screen.draw(screenOf(view, screen.size, Date.now()));
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      screen.close();
      settle();
    };
    const onText = (text: string) => {
      for (const key of readKeys(text)) {
        if (key === "ctrl-z") {
          // The shell gets its terminal back as it was; `fg` continues here.
          screen.close();
          process.kill(process.pid, "SIGSTOP");
        } else view = pressKey(view, key, screen.size);
      }
      if (view.over) finish(() => resolve(exitCodes.ok));
      else draw();
    };
    const take = () => {
      screen.open(onText);
      draw();
    };
    scanner.watch((snapshot) => {
      view = { ...view, snapshot };
      draw();
    });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.once(signal, () => finish(() => resolve(exitCodes.signalBase + signalNumber(signal))));
    process.on("SIGCONT", take);
    process.stdout.on("resize", draw);
    setInterval(draw, redrawMs);
    take();
    scanner.current().catch((error) => finish(() => reject(error)));
  });
}
