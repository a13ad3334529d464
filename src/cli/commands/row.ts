import { resolve } from "node:path";
import { reportEvent } from "../../work/row-events.ts";
import { openRowLog, rowLogPath } from "../../work/row-log.ts";
import { inheritedOutput } from "../../work/row-process.ts";
import { defineCommand, flag, restOperand, value } from "../command.ts";
import { type RunFollower, run } from "./run.ts";
import { runOptions } from "./run-options.ts";

/** Our standard output is the file in which the worker looks for events. */
const events = 1;

const options = {
  ...runOptions,
  log: value("<pattern>", "path of the log, {generation} replaced (else in the weights dir)"),
  inherit: flag("the command's output is the worker's"),
  again: value("<time>", "train what was done before this time, milliseconds since the epoch"),
  retryFailed: flag("what has failed until now does not count"),
  maxAttempts: value("<number>", "the limit of failed runs"),
  once: flag("what ended with exit code 0 is trained"),
};

/** The wrapper of one row of a grid: `run`, which reports to the worker that started it. */
export const command = defineCommand({
  hidden: true,
  summary: "train one row for a worker",
  options,
  operands: { command: restOperand("the command and its arguments, after --") },
  stopsAtOperand: true,
  examples: [],
  exitCodes: { other: "as run" },
  execute: ({ command: argv, log, inherit, retryFailed, again, maxAttempts, once, ...given }) =>
    run(argv, given, {
      ...followerFor(inherit, log),
      forgetsAttempts: retryFailed,
      ...(again === undefined ? {} : { againSinceMs: Number(again) }),
      settledBy: ({ lastEnd, attempts }) => {
        if (once && lastEnd === "done") return { kind: "ended well" };
        return attempts >= Number(maxAttempts ?? Number.POSITIVE_INFINITY) ? { kind: "used up", attempts } : null;
      },
    }),
});

function followerFor(inherits: boolean, pattern: string | undefined): RunFollower {
  return {
    output: {
      reserved: inherits ? inheritedOutput : [],
      open: ({ generation }, weightsDir, site) => {
        if (inherits) {
          reportEvent(events, { kind: "held", generation, log: null });
          return inheritedOutput;
        }
        const path = pattern?.replaceAll("{generation}", String(generation)) ?? rowLogPath(weightsDir, generation);
        const fd = openRowLog(site, resolve(path));
        reportEvent(events, { kind: "held", generation, log: path });
        return [fd, fd];
      },
    },
    over: (status, stopSignal) => reportEvent(events, { kind: "over", status, stopSignal }),
  };
}
