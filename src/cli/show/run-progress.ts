import { eventPlace } from "../../history/event-place.ts";
import { durationText } from "../../model/durations.ts";
import { printable } from "../../model/printable.ts";
import type { RunEvents, RunOutcome } from "../../run/run-request.ts";
import type { Busy } from "../../stores/store.ts";
import { commandLineOf, type TreeProcess } from "../../system/processes/process-tree.ts";
import { isTerminal, say } from "../output.ts";
import { showWait } from "./wait-progress.ts";

export interface RunProgress extends RunEvents {
  ended(outcome: RunOutcome, exitCode: number): void;
}

/** What `run` says on the way: progress on a terminal and in a job's log, what must be known everywhere. */
export function showProgress(quiet: boolean, stopsWhenLost: boolean): RunProgress {
  const onTerminal = !quiet && isTerminal(2);
  const wait = showWait(quiet, onTerminal);
  const { host, job } = eventPlace();
  const tellsCourse = onTerminal || (!quiet && job !== null);
  let hasBegun = false;
  return {
    waiting: (busy: Busy) => wait.begin(busy),
    waited: () => wait.end(),
    held: ({ generation }, leads) => {
      if (!tellsCourse || !leads) return;
      hasBegun = true;
      const where = job === null ? "" : `, host ${host}, job ${printable(job)}`;
      say(`Lock acquired (generation ${generation}${where}). Starting training…`);
    },
    lost: (why) =>
      say(`trainlock: the lock was lost: ${printable(why)}${stopsWhenLost ? "; stopping the command" : ""}`),
    remaining: (processes, waits) => {
      const way = waits ? "; `--leftovers kill` ends them, `--leftovers leave` lets them go on without it" : "";
      say(`trainlock: the command has ended, but left ${named(processes)}: keeping the lock until they are gone${way}`);
    },
    killing: (processes) => say(`trainlock: killing ${named(processes)}`),
    left: (processes, why) => {
      const how = why === "as asked" ? "go on without the lock" : "could not be killed, and live on";
      say(`trainlock: of the command's processes ${how}: ${named(processes)}`);
    },
    warning: (text) => say(`trainlock: ${printable(text)}`),
    ended: (outcome, exitCode) => {
      if (!hasBegun || outcome.startedAt === null) return;
      say(`Training ended after ${durationText(Date.now() - outcome.startedAt)} (exit code ${exitCode})`);
    },
  };
}

const mostNamed = 10;

function named(processes: readonly TreeProcess[]): string {
  const shown = processes.slice(0, mostNamed).map((each) => `${shortened(commandLineOf(each))} (PID ${each.pid})`);
  const more = processes.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more} more` : shown.join(", ");
}

const longestCommand = 200;

function shortened(command: string): string {
  return printable(command.length > longestCommand ? `${command.slice(0, longestCommand)}…` : command);
}
