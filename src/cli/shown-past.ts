import { type Past, readPast } from "../history/past-runs.ts";
import type { Refusal } from "../history/runs.ts";
import { printable } from "../model/printable.ts";
import { lookUpUsers } from "../system/processes/users.ts";
import { say } from "./output.ts";
import { type ShownRun, shownRun } from "./show/history-text.ts";

/** What the history has of one configuration, with the names of its users. The newest first. */
export interface ShownPast {
  readonly runs: readonly ShownRun[];
  readonly refusals: readonly (Refusal & { readonly user: string })[];
}

/** Reads it for one name or for all. Says on stderr what could not be read. */
export async function shownPast(lockDir: string, of: string | null = null): Promise<(name: string) => ShownPast> {
  const { byName, unreadable } = readPast(lockDir, of);
  for (const [path, why] of unreadable) say(`trainlock: cannot read ${printable(path)}: ${printable(why)}`);
  const users = await lookUpUsers(uidsIn(byName), []);
  const nameOf = (uid: number) => users.nameOf(uid) ?? String(uid);
  return (name) => {
    const { runs = [], refusals = [] } = byName.get(name) ?? {};
    return {
      runs: runs.map((run) => shownRun(run, nameOf)),
      refusals: refusals.map((refusal) => ({ ...refusal, user: nameOf(refusal.uid) })),
    };
  };
}

function uidsIn(byName: Past["byName"]): number[] {
  const uids = new Set<number>();
  for (const { runs, refusals } of byName.values()) {
    for (const { uid } of [...runs, ...refusals]) uids.add(uid);
    for (const { cleared } of runs) if (cleared !== undefined) uids.add(cleared.uid);
  }
  return [...uids];
}
