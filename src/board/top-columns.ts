import { durationText } from "../model/durations.ts";
import { printable } from "../model/printable.ts";
import { quietMs } from "../progress/progress.ts";
import { type BoardRow, percentOf } from "./board-row.ts";
import { ageText } from "./times.ts";

const stateWidth = 7;
const widestWho = 10;
const leastName = 20;
/** What is left of a part of a name: an end, what stands for its middle, an end. */
const leastPart = 3;

/** How wide each column is that has something in it; 0: no row has, and it takes no room. */
export interface Widths {
  readonly name: number;
  readonly who: number;
  readonly since: number;
  readonly done: number;
}

/** `columns`: of the screen, where long names and users are cut; null: nothing is. */
export function widthsFor(rows: readonly BoardRow[], columns: number | null, nowMs: number): Widths {
  const widest = (head: string, textOf: (row: BoardRow) => string) => {
    const most = rows.reduce((width, row) => Math.max(width, [...textOf(row)].length), 0);
    return most === 0 ? 0 : Math.max(head.length, most);
  };
  const [name, since, done] = [
    widest("CONFIGURATION", nameOf),
    widest("SINCE", (row) => sinceText(row, nowMs)),
    widest("DONE", doneText),
  ];
  const who = Math.min(widest("WHO", whoText), columns === null ? Number.POSITIVE_INFINITY : widestWho);
  if (columns === null) return { name, who, since, done };
  const others = [who, since, done].reduce((sum, width) => sum + (width === 0 ? 0 : width + 2), stateWidth + 2);
  return { name: Math.min(name, Math.max(leastName, columns - others)), who, since, done };
}

const nameOf = ({ name }: BoardRow) => printable(name);
const whoText = ({ who }: BoardRow) => printable(who ?? "");
const sinceText = ({ sinceMs }: BoardRow, nowMs: number) => (sinceMs === null ? "" : ageText(sinceMs, nowMs));

function doneText(row: BoardRow): string {
  const percent = percentOf(row);
  return percent !== null ? `${percent} %` : row.step === null ? "" : String(row.step);
}

/** The heads of the columns. */
export function columnsText(rows: readonly BoardRow[], widths: Widths): string {
  return rows.length === 0 ? "" : lineText(["STATE", "CONFIGURATION", "WHO", "SINCE", "DONE"], widths);
}

function lineText(
  [state, name, who, since, done]: readonly [string, string, string, string, string],
  widths: Widths,
): string {
  const cells = [
    [who.padEnd(widths.who), widths.who],
    [since.padEnd(widths.since), widths.since],
    [done.padStart(widths.done), widths.done],
  ] as const;
  const shown = cells.flatMap(([text, width]) => (width === 0 ? [] : [text]));
  return [state.padEnd(stateWidth), name.padEnd(widths.name), ...shown].join("  ");
}

/** A row as one line. */
export function rowText(row: BoardRow, widths: Widths, nowMs: number): string {
  const quiet =
    row.signMs === null
      ? null
      : quietMs({ step: 0, of: null, source: "", at: new Date(row.signMs).toISOString() }, nowMs);
  const more = quiet === null ? "" : `  quiet for ${durationText(quiet)}`;
  const name = cutWithin(nameOf(row), widths.name);
  const cells = [row.state, name, cut(whoText(row), widths.who), sinceText(row, nowMs), doneText(row)] as const;
  return `${lineText(cells, widths)}${more}`;
}

/** Each part of a name keeps its ends, and the longest part loses most: names that differ in any part stay apart. */
function cutWithin(name: string, width: number): string {
  const parts = name.split("/");
  const room = width - (parts.length - 1);
  if (room < parts.length * leastPart) return cutMiddle(name, width);
  const lengths = parts.map((part) => [...part].length);
  for (let over = lengths.reduce((sum, length) => sum + length, -room); over > 0; over -= 1) {
    const longest = Math.max(...lengths);
    lengths[lengths.indexOf(longest)] = longest - 1;
  }
  return parts.map((part, index) => cutMiddle(part, lengths[index] ?? 0)).join("/");
}

/** Without its middle: what begins alike differs at its end. */
function cutMiddle(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  const end = Math.floor((width - 1) / 2);
  return `${characters.slice(0, width - 1 - end).join("")}…${characters.slice(characters.length - end).join("")}`;
}

/** Without its end. */
export function cut(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join("")}…`;
}
