import { holderText } from "../../listing/holder-text.ts";
import { durationText } from "../../model/durations.ts";
import { printable } from "../../model/printable.ts";
import { isRankStatus } from "../../stores/ranks/rank-status.ts";
import type { Busy } from "../../stores/store.ts";
import { say, sayInPlace } from "../output.ts";

/**
 * A log file gets a line about a wait at once, and then less and less often: after so many minutes, then every hour.
 */
const logMinutes = [1, 5, 15, 30, 60];
const minuteMs = 60_000;

export interface WaitProgress {
  begin(busy: Busy): void;
  end(): void;
}

/** Shows who is waited for and how long already: one line that is kept up to date on a terminal, a few lines in a log. */
export function showWait(quiet: boolean, onTerminal: boolean): WaitProgress {
  const startedAt = performance.now();
  let timer: NodeJS.Timeout | undefined;
  let waitingFor: string | null = null;
  let logged = 0;
  const elapsed = () => performance.now() - startedAt;

  const update = () => {
    if (waitingFor !== null) sayInPlace(`Waiting for ${waitingFor}: ${durationText(elapsed())}`);
  };
  const log = () => {
    say(`Still waiting after ${durationText(elapsed())} for ${waitingFor}`);
    scheduleLog();
  };
  const scheduleLog = () => {
    // A host that slept for a while has not missed the lines of that time.
    let dueMs = 0;
    for (; dueMs <= elapsed(); logged += 1) {
      dueMs = minuteMs * (logMinutes[logged] ?? 60 * (logged - logMinutes.length + 2));
    }
    timer = setTimeout(log, dueMs - elapsed());
    timer.unref();
  };

  return {
    begin: (busy) => {
      if (quiet) return;
      const text = waitText(busy);
      const isNew = text !== waitingFor;
      waitingFor = text;
      if (onTerminal) {
        update();
        timer ??= setInterval(update, 1000);
      } else if (isNew) {
        say(`Waiting for ${text}`);
        if (timer === undefined) scheduleLog();
      }
    },
    end: () => {
      clearTimeout(timer);
      if (waitingFor !== null && onTerminal) sayInPlace("");
      waitingFor = null;
    },
  };
}

function waitText({ holder, verdict, path }: Busy): string {
  if (isRankStatus(path)) return "rank 0 of this launch";
  const since = holder.acquiredAt === null ? "" : `, since ${printable(holder.acquiredAt)}`;
  const doubt = verdict.status === "active" ? "" : ` [${verdict.label}]`;
  return `${holderText(holder)}${since}${doubt}`;
}
