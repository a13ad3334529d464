import type { Row } from "../../grid/grid.ts";
import { whyCommand } from "../../grid/next-command.ts";
import type { PlannedRow } from "../../grid/plan.ts";
import { printable } from "../../model/printable.ts";
import type { WorkResult } from "../../work/work-request.ts";
import { say } from "../output.ts";

/** Rows that could not be looked at: more of them have one reason. */
const mostShown = 10;

interface Shown {
  /** What is left with somebody else, as `plan` finds it; null: that was not asked, and it is only counted. */
  readonly planned: readonly PlannedRow[] | null;
  readonly nameOf: (row: Row) => string;
  readonly quiet: boolean;
  readonly write: (text: string) => void;
}

/** What a worker has done and what is left, in a line, after the rows that could not be looked at. */
export function showWorkEnd(result: WorkResult, { planned, nameOf, quiet, write }: Shown): void {
  const { rest, trained, failed, interrupted, stop, problems } = result;
  const failedBefore = rest.flatMap(({ row, rest: { kind } }) => (kind === "failed" ? [nameOf(row)] : []));
  const unseen = unseenRows(result, nameOf);
  for (const each of unseen.slice(0, mostShown)) say(`trainlock: ${printable(each)}`);
  if (unseen.length > mostShown) say(`trainlock: and ${unseen.length - mostShown} rows more`);
  const allFailed = [...new Set([...failed, ...failedBefore])];
  const late = rest.filter(({ rest: { kind } }) => kind === "late").length;
  const parts = [
    `${trained} trained`,
    ...(allFailed.length === 0 ? [] : [`${allFailed.length} failed (${allFailed.map(printable).join(", ")})`]),
    ...stateCounts(planned?.map(({ state }) => state) ?? leftWithOthers(result).map(({ rest: { kind } }) => kind)),
    ...(interrupted.length === 0 ? [] : [`${interrupted.length} interrupted, which the same call goes on with`]),
    ...(late === 0 ? [] : [`${late} without time`]),
    ...(unseen.length === 0 ? [] : [`${unseen.length} that could not be looked at`]),
    ...(problems.length === 0 ? [] : [`${problems.length} that could not be started`]),
  ];
  const nothing = trained === 0 && failed.length === 0 && stop === null && problems.length === 0;
  if (nothing && rest.length === 0) write("nothing is left to train\n");
  else if (nothing) write(`nothing can be trained now: ${parts.slice(1).join(", ")}\n`);
  else if (!quiet || failed.length > 0) write(`${parts.join(", ")}\n`);
  const [first] = failedBefore;
  if (first !== undefined && planned !== null && !quiet)
    say(`  why it failed: ${whyCommand(first, null)}\n  to train what has failed once more: give --retry-failed`);
}

/** Rows that others hold, or that need something. */
export function leftWithOthers({ rest }: WorkResult): WorkResult["rest"] {
  return rest.filter(({ rest: { kind } }) => kind === "held" || kind === "blocked");
}

/** With the reason. Those that could not be started have said theirs. */
function unseenRows({ rest, problems }: WorkResult, nameOf: Shown["nameOf"]): string[] {
  const started = new Set(problems.map(({ name }) => name));
  return rest.flatMap(({ row, rest: each }) => {
    const name = nameOf(row);
    return each.kind === "problem" && !started.has(name) ? [`${name}: ${each.why}`] : [];
  });
}

function stateCounts(states: readonly string[]): string[] {
  return [...new Set(states)].map((state) => `${states.filter((each) => each === state).length} ${state}`);
}
