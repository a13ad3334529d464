import type { RowState } from "../grid/row-state.ts";
import { type BoardRow, percentOf, stuckStates } from "./board-row.ts";
import { escapeHtml } from "./html.ts";
import { stateClass } from "./state-words.ts";
import { ageHtml } from "./times.ts";
import type { View } from "./view.ts";

/** The most urgent first: the one that a cell of several rows has. */
const urgency: readonly RowState[] = ["stale", "unknown", "failed", "running", "queued", "blocked", "free", "done"];

/** More columns or lines than this are no table any more; the rows stand below. */
const mostAcross = 200;

/** One table for each value of the third field; a cell is a row, or counts of several. */
export function matrixHtml(rows: readonly BoardRow[], names: readonly string[], view: View, nowMs: number): string {
  const textOf = (row: BoardRow, field: string) => row.fields[names.indexOf(field)] ?? "none";
  const tables = groupBy(rows, (row) => (view.per === null ? "" : textOf(row, view.per)));
  const across = [...new Set(rows.map((row) => textOf(row, view.across)))];
  if (across.length > mostAcross)
    return `<p>There are ${across.length} values of ${escapeHtml(view.across)}: choose another field.</p>`;
  const head = `<tr><td>${escapeHtml(view.down)}<th scope=col>${across.map(escapeHtml).join("<th scope=col>")}`;
  return [...tables]
    .map(([title, own]) => {
      const lines = [...groupBy(own, (row) => textOf(row, view.down))].map(([line, cells]) => {
        const byColumn = groupBy(cells, (row) => textOf(row, view.across));
        return `<tr><th scope=row>${escapeHtml(line)}${across.map((column) => cellHtml(byColumn.get(column) ?? [], nowMs)).join("")}`;
      });
      const caption = view.per === null ? "All rows" : title;
      const done = own.filter(({ state }) => state === "done").length;
      const label = escapeHtml(caption);
      return (
        `<div class=scroll role=region aria-label="${label}: ${escapeHtml(view.down)} by ${escapeHtml(view.across)}" tabindex=0>` +
        `<table class=m><caption>${label} <small>${done} of ${own.length} done</small></caption>\n` +
        `<thead>${head}</thead>\n<tbody>${lines.join("\n")}</tbody></table></div>`
      );
    })
    .join("\n");
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

function cellHtml(rows: readonly BoardRow[], nowMs: number): string {
  const [only] = rows;
  if (only === undefined) return "<td>";
  if (rows.length > 1) return countsHtml(rows);
  const percent = percentOf(only);
  const word = only.state === "running" && percent !== null ? `running ${percent} %` : only.state;
  const linked = hasPlace(only) ? `<a href=#${only.id}>${word}</a>` : word;
  return `<td class=${stateClass[only.state]}>${linked}${holderHtml(only, nowMs)}`;
}

/** Whether there is more to read of a row further up. */
function hasPlace({ state }: BoardRow): boolean {
  return state === "running" || stuckStates.includes(state);
}

/** Who, since when, and the last sign of life, in small letters. */
function holderHtml({ who, sinceMs, signMs }: BoardRow, nowMs: number): string {
  const parts = [
    ...(who === null ? [] : [escapeHtml(who)]),
    ...(sinceMs === null ? [] : [ageHtml(sinceMs, nowMs)]),
    ...(signMs === null ? [] : [`sign ${ageHtml(signMs, nowMs)} ago`]),
  ];
  return parts.length === 0 ? "" : `<small>${parts.join(", ")}</small>`;
}

function countsHtml(rows: readonly BoardRow[]): string {
  const counted = urgency.flatMap((state) => {
    const count = rows.filter((row) => row.state === state).length;
    return count === 0 ? [] : [{ state, count }];
  });
  const worst = counted[0]?.state ?? "free";
  const rest = counted
    .filter(({ state }) => state !== "done" && state !== "free")
    .map(({ state, count }) => `${count} ${state}`);
  const done = counted.find(({ state }) => state === "done")?.count ?? 0;
  const small = rest.length === 0 ? "" : `<small>${rest.join(", ")}</small>`;
  return `<td class=${stateClass[worst]}>${done}/${rows.length} done${small}`;
}
