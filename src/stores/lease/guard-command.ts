import { sleep } from "../../system/clock/sleep.ts";
import { groupMembers, signalGroup } from "../../system/processes/process-group.ts";
import { processesWithToken } from "../../system/processes/process-table.ts";
import type { Guard } from "./keeper-messages.ts";

export interface CommandGuard {
  begin(rules: Guard | null): void;
  /** The claim's token is in the environment of its command: that finds what has left its group, or was told to nobody. */
  carries(token: string): void;
  guard(group: number): void;
  wrapperStopsIt(): void;
  /** Stops the command, unless its wrapper says that it does; whatever is left at the end of its time is killed. */
  lost(stopByMs: number): void;
  /** The command is over. What goes on of it: daemons, workers in sessions of their own. */
  left(): Promise<readonly number[]>;
  /** The wrapper is gone, or done: resolves once nothing of the command is left. */
  outlast(): Promise<void>;
}

/** A wrapper that runs answers sooner. */
const wrapperPatienceMs = 300;
/** From the start of a process until its environment can be read. */
const startPatienceMs = 1000;
/** A process that is ending has this long to be gone. */
const endPatienceMs = 300;
const pollMs = 100;

export function guardCommand(clock: () => number): CommandGuard {
  let rules: Guard | null = null;
  let token: string | null = null;
  let group: number | null = null;
  let wrapperStops = false;
  let wrapperGone = false;
  let ended = false;

  const living = (): number[] => {
    const inGroup = group === null ? [] : groupMembers(group).map(({ pid }) => pid);
    const carriers = token === null ? [] : processesWithToken(token).filter((pid) => pid !== process.pid);
    return [...new Set([...inGroup, ...carriers])];
  };
  const askToStop = () => {
    if (wrapperStops || group === null) return;
    signalGroup(group, "SIGTERM");
    // A stopped command would sleep on its SIGTERM.
    signalGroup(group, "SIGCONT");
  };
  /** By a clock that goes on while the machine sleeps, as timers do not; again and again, for what is just being started. */
  const killAt = (deadlineMs: number) => {
    const killing = setInterval(() => {
      if (clock() < deadlineMs) return;
      const left = living();
      if (left.length === 0) clearInterval(killing);
      for (const pid of left) signalProcess(pid, "SIGKILL");
    }, pollMs);
  };

  return {
    begin: (given) => {
      rules = given;
    },
    carries: (given) => {
      token = given;
    },
    guard: (given) => {
      group = given;
    },
    wrapperStopsIt: () => {
      wrapperStops = true;
    },
    lost: (stopByMs) => {
      if (rules === null || !rules.stops) return;
      const askAfterMs = wrapperGone ? 0 : wrapperPatienceMs;
      setTimeout(askToStop, askAfterMs);
      killAt(Math.min(clock() + askAfterMs + rules.killAfterMs, stopByMs));
    },
    left: async () => {
      ended = true;
      const giveUpAtMs = clock() + endPatienceMs;
      for (;;) {
        const left = rules === null ? [] : living();
        if (left.length === 0 || clock() >= giveUpAtMs) return left;
        await sleep(pollMs / 4);
      }
    },
    outlast: async () => {
      wrapperGone = true;
      wrapperStops = false;
      const sinceMs = clock();
      while (rules !== null) {
        const mayJustStart = group === null && !ended && clock() - sinceMs < startPatienceMs;
        if (!mayJustStart && living().length === 0) return;
        await sleep(2 * pollMs);
      }
    },
  };
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone, or not ours to signal.
  }
}
