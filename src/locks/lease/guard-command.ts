import { groupMembers, signalGroup } from "../../system/process-group.ts";
import { processesWithToken } from "../../system/process-table.ts";
import { sleep } from "../../system/sleep.ts";
import type { Guard } from "./keeper-messages.ts";

export interface CommandGuard {
  begin(rules: Guard | null): void;
  /** The claim's token is in the environment of its command: that finds one that nobody has told us of. */
  carries(token: string): void;
  guard(group: number): void;
  wrapperStopsIt(): void;
  /** Stops the command, unless its wrapper says that it does; whatever is left at the end of its time is killed. */
  lost(stopByMs: number | null): void;
  /** There is nothing to guard any more. */
  end(): void;
  /** The wrapper is gone: resolves once nothing of the command is left. */
  outlast(): Promise<void>;
}

/** A wrapper that runs answers sooner. */
const wrapperPatienceMs = 300;
/** From the start of a process until its environment can be read. */
const startPatienceMs = 1000;
const pollMs = 200;

export function guardCommand(clock: () => number): CommandGuard {
  let rules: Guard | null = null;
  let token: string | null = null;
  let group: number | null = null;
  let wrapperStops = false;
  let wrapperGone = false;
  let over = false;

  const living = (): number[] => [
    ...(group === null ? [] : groupMembers(group).map(({ pid }) => pid)),
    ...(token === null ? [] : processesWithToken(token).filter((pid) => pid !== process.pid)),
  ];
  const killAll = () => {
    if (over) return;
    if (group !== null) signalGroup(group, "SIGKILL");
    for (const pid of living()) signalProcess(pid, "SIGKILL");
  };
  const askToStop = () => {
    if (over || wrapperStops || group === null) return;
    signalGroup(group, "SIGTERM");
    // A stopped command would sleep on its SIGTERM.
    signalGroup(group, "SIGCONT");
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
      setTimeout(askToStop, wrapperGone ? 0 : wrapperPatienceMs);
      setTimeout(killAll, stopByMs === null ? rules.killAfterMs : Math.max(0, stopByMs - clock()));
    },
    end: () => {
      over = true;
    },
    outlast: async () => {
      wrapperGone = true;
      wrapperStops = false;
      const sinceMs = clock();
      while (!over && rules !== null) {
        const mayJustStart = group === null && clock() - sinceMs < startPatienceMs;
        if (!mayJustStart && living().length === 0) return;
        await sleep(pollMs);
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
