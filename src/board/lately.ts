import { type RunState, readRuns } from "../history/runs.ts";
import { savedHours } from "../history/saved-hours.ts";
import { durationText } from "../model/durations.ts";
import { lookUpUsers } from "../system/processes/users.ts";
import { escapeHtml, nameHtml } from "./html.ts";
import { ageHtml } from "./times.ts";

/** What happened in the last days. Strings are as found. */
export interface Lately {
  /** Jobs that were turned away, each once. */
  readonly duplicates: number;
  /** The last runs that ended, the newest first. */
  readonly runs: readonly EndedRun[];
  /** What of the history could not be read, with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
}

interface EndedRun {
  readonly name: string;
  readonly state: RunState;
  /** User and host; null: left out. */
  readonly who: string | null;
  readonly endedMs: number;
  readonly seconds: number | null;
}

const days = 7;
const mostRuns = 10;

/** Reads the history of the last days: who held the configurations of these names, and how many were turned away from them. */
export async function readLately(lockDir: string, nowMs: number, names: ReadonlySet<string>): Promise<Lately> {
  const { unreadable, ...read } = readRuns(lockDir, { sinceMs: nowMs - days * 86_400_000, commands: false });
  const runs = read.runs.filter(({ name }) => names.has(name));
  const refusals = read.refusals.filter(({ name }) => names.has(name));
  const ended = runs.flatMap((run) => (run.endedMs === null ? [] : [{ ...run, endedMs: run.endedMs }]));
  const last = ended.sort((a, b) => b.endedMs - a.endedMs).slice(0, mostRuns);
  const users = await lookUpUsers([...new Set(last.map(({ uid }) => uid))], []);
  return {
    duplicates: savedHours(runs, refusals).duplicates,
    unreadable,
    runs: last.map(({ name, state, uid, host, endedMs, seconds }) => {
      const who = `${users.nameOf(uid) ?? `uid ${uid}`}${host === null ? "" : ` on ${host}`}`;
      return { name, state, who, endedMs, seconds };
    }),
  };
}

export function latelyHtml({ duplicates, runs }: Lately, nowMs: number): string {
  const turned = `${duplicates} ${duplicates === 1 ? "duplicate" : "duplicates"} turned away in the last ${days} days.`;
  const lines = runs.map(({ name, state, who, endedMs, seconds }) => {
    const took = seconds === null ? "" : `, after ${durationText(seconds * 1000)}`;
    const whose = who === null ? "" : ` ${escapeHtml(who)},`;
    return `<li><b>${escapeHtml(state)}</b> ${nameHtml(name)}<small>${whose} ${ageHtml(endedMs, nowMs)} ago${took}</small>`;
  });
  const list = lines.length === 0 ? "" : `<ul class=lately>${lines.join("\n")}</ul>`;
  return `<h2>Lately</h2>\n<p class=calm>${turned}</p>${list}`;
}
