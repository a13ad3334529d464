import type { PlannedRow } from "../grid/plan.ts";
import { type Past, readPast } from "../history/past-runs.ts";
import type { HistoryRun, Refusal } from "../history/runs.ts";
import type { Configuration } from "../model/configuration.ts";
import { printable } from "../model/printable.ts";
import { lookUpUsers } from "../system/processes/users.ts";
import { say } from "./output.ts";
import { type ShownRun, shownRun } from "./show/history-text.ts";

/** What the history has of one configuration, with the names of its users. The newest first. */
export interface ShownPast {
  readonly runs: readonly ShownRun[];
  readonly refusals: readonly (Refusal & { readonly user: string })[];
}

export type PastOf = (row: Pick<PlannedRow, "name" | "configuration">) => ShownPast;

/** Stages of a configuration have one name. What was noted without a stage may be of any. */
function ofStage(stage: Configuration["stage"]) {
  return (noted: Pick<HistoryRun, "stage">) =>
    noted.stage === null || (stage !== null && noted.stage === String(stage));
}

/** Reads it for one name or for all. Says on stderr what could not be read. */
export async function shownPast(lockDir: string, of: string | null = null): Promise<PastOf> {
  const { byName, unreadable } = readPast(lockDir, of);
  for (const [path, why] of unreadable) say(`trainlock: cannot read ${printable(path)}: ${printable(why)}`);
  const users = await lookUpUsers(uidsIn(byName), []);
  const nameOf = (uid: number) => users.nameOf(uid) ?? String(uid);
  return ({ name, configuration }) => {
    const { runs = [], refusals = [] } = byName.get(name) ?? {};
    const isMeant = ofStage(configuration.stage);
    return {
      runs: runs.filter(isMeant).map((run) => shownRun(run, nameOf)),
      refusals: refusals.filter(isMeant).map((refusal) => ({ ...refusal, user: nameOf(refusal.uid) })),
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
