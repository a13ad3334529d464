import { isatty } from "node:tty";
import type { RunEvents, RunOutcome } from "../../run/run-request.ts";
import type { Busy } from "../../stores/store.ts";
import type { GroupMember } from "../../system/processes/process-group.ts";
import { say } from "../output.ts";
import { durationText } from "../units.ts";
import { printable } from "./printable.ts";
import { showWait } from "./wait-progress.ts";

export interface RunProgress extends RunEvents {
  ended(outcome: RunOutcome, exitCode: number): void;
}

/** What `run` says on the way: progress on a terminal, what must be known everywhere. */
export function showProgress(quiet: boolean, stopsWhenLost: boolean): RunProgress {
  const onTerminal = !quiet && isatty(2);
  const wait = showWait(quiet, onTerminal);
  return {
    waiting: (busy: Busy) => wait.begin(busy),
    waited: () => wait.end(),
    held: ({ generation }) => {
      if (onTerminal) say(`Lock acquired (generation ${generation}). Starting training…`);
    },
    lost: (why) =>
      say(`trainlock: the lock was lost: ${printable(why)}${stopsWhenLost ? "; stopping the command" : ""}`),
    remaining: (processes) => {
      say(`trainlock: the command has ended, but left ${named(processes)}: keeping the lock until they are gone`);
    },
    killing: (processes) => say(`trainlock: killing ${named(processes)}`),
    warning: (text) => say(`trainlock: ${printable(text)}`),
    ended: (outcome, exitCode) => {
      if (!onTerminal || outcome.startedAt === null) return;
      say(`Training ended after ${durationText(Date.now() - outcome.startedAt)} (exit code ${exitCode})`);
    },
  };
}

const mostNamed = 10;

function named(processes: readonly GroupMember[]): string {
  const shown = processes.slice(0, mostNamed).map(({ pid, name }) => `${printable(name)} (PID ${pid})`);
  const more = processes.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more} more` : shown.join(", ");
}
