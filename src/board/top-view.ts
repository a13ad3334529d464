import { printable } from "../model/printable.ts";
import { localTime } from "../system/clock/local-time.ts";
import { type BoardRow, percentOf } from "./board-row.ts";
import type { Snapshot } from "./snapshot.ts";
import { ageText, clockText } from "./times.ts";
import { columnsText, cut, rowText, type Widths, widthsFor } from "./top-columns.ts";
import { rowsInView } from "./view.ts";

/** What a terminal shows of a snapshot. */
export interface TopView {
  readonly snapshot: Snapshot | null;
  readonly title: string;
  /** Words that rows have to have, all of them. */
  readonly find: string;
  /** The words are being typed. */
  readonly typing: boolean;
  /** The chosen row, by its name; null: the first. */
  readonly chosen: string | null;
  /** The chosen row's evidence is shown, from this line on; null: the list is. */
  readonly detailFrom: number | null;
  readonly over: boolean;
}

export interface ScreenSize {
  readonly columns: number;
  readonly lines: number;
}

/** A line of the screen, and what of it is told apart: the state's letters in front, or all of it. */
export interface ScreenLine {
  readonly text: string;
  readonly state?: BoardRow["state"];
  readonly chosen?: boolean;
}

/** Lines above and below the rows. */
const frameLines = 4;

export const firstView = (title: string): TopView => ({
  snapshot: null,
  title,
  find: "",
  typing: false,
  chosen: null,
  detailFrom: null,
  over: false,
});

function rowsOf({ snapshot, find }: TopView): BoardRow[] {
  if (snapshot === null) return [];
  return rowsInView(snapshot.rows, { down: "", across: "", per: null, find, state: null, sort: null });
}

function chosenIndex(view: TopView, rows: readonly BoardRow[]): number {
  return Math.max(
    0,
    rows.findIndex(({ name }) => name === view.chosen),
  );
}

/** What a key makes of a view. Pure. Keys have the names of `readKeys`, or are the character itself. */
export function pressKey(view: TopView, key: string, { lines }: ScreenSize): TopView {
  if (key === "ctrl-c") return { ...view, over: true };
  if (view.typing) return typeKey(view, key);
  if (view.detailFrom !== null) return scrollDetail(view, view.detailFrom, key);
  const rows = rowsOf(view);
  const page = Math.max(1, lines - frameLines);
  const at = chosenIndex(view, rows);
  const go = (index: number): TopView => {
    const row = rows[Math.min(Math.max(0, index), rows.length - 1)];
    return row === undefined ? view : { ...view, chosen: row.name };
  };
  switch (key) {
    case "up":
    case "k":
      return go(at - 1);
    case "down":
    case "j":
      return go(at + 1);
    case "page-up":
      return go(at - page);
    case "page-down":
    case " ":
      return go(at + page);
    case "home":
      return go(0);
    case "end":
      return go(rows.length - 1);
    case "/":
      return { ...view, typing: true };
    case "escape":
      return { ...view, find: "" };
    case "enter":
      return rows.length === 0 ? view : { ...go(at), detailFrom: 0 };
    case "q":
      return { ...view, over: true };
    default:
      return view;
  }
}

function typeKey(view: TopView, key: string): TopView {
  if (key === "enter") return { ...view, typing: false };
  if (key === "escape") return { ...view, typing: false, find: "" };
  if (key === "backspace") return { ...view, find: [...view.find].slice(0, -1).join("") };
  return [...key].length === 1 && printable(key) === key ? { ...view, find: view.find + key } : view;
}

function scrollDetail(view: TopView, from: number, key: string): TopView {
  if (key === "up" || key === "k") return { ...view, detailFrom: Math.max(0, from - 1) };
  if (key === "down" || key === "j") return { ...view, detailFrom: from + 1 };
  return key === "enter" || key === "escape" || key === "q" ? { ...view, detailFrom: null } : view;
}

/** The lines of the screen, exactly as many as it has, none wider. Pure. */
export function screenOf(view: TopView, size: ScreenSize, nowMs: number): ScreenLine[] {
  const { snapshot } = view;
  const body = Math.max(1, size.lines - frameLines);
  const rows = rowsOf(view);
  const widths = widthsFor(rows, size.columns, nowMs);
  const middle =
    view.detailFrom === null ? listLines(view, rows, widths, body, nowMs) : detailLines(view, rows, size, body, nowMs);
  const head =
    snapshot === null ? { text: `${view.title}: looking…` } : { text: headText(snapshot, view.title, size.columns) };
  const second = { text: problemText(snapshot) ?? columnsText(rows, widths) };
  const all: ScreenLine[] = [head, second, ...middle];
  while (all.length < size.lines - 2) all.push({ text: "" });
  const found = view.find === "" && !view.typing ? "" : `/${view.find}${view.typing ? "_" : ""}  ${rows.length} found`;
  all.push({ text: found }, { text: helpText(view) });
  return all.slice(-size.lines).map((line) => ({ ...line, text: cut(line.text, size.columns) }));
}

/** All of it, once, for a pipe: nothing is cut. */
export function wholeText(view: TopView, nowMs: number): string {
  const { snapshot } = view;
  if (snapshot === null) return "";
  const rows = rowsOf(view);
  const widths = widthsFor(rows, null, nowMs);
  const lines = rows.map((row) => rowText(row, widths, nowMs).trimEnd());
  return `${[headText(snapshot, view.title, 0), ...snapshot.problems.map(printable), ...lines].join("\n")}\n`;
}

function problemText(snapshot: Snapshot | null): string | null {
  const [problem] = snapshot?.problems ?? [];
  return problem === undefined ? null : `! ${printable(problem)}`;
}

const countOrder = ["running", "stale", "unknown", "failed", "queued", "blocked", "free"] as const;

function headText({ counts, rows, atMs, isMade }: Snapshot, title: string, columns: number): string {
  const parts = countOrder.flatMap((state) => (counts[state] === 0 ? [] : [`${counts[state]} ${state}`]));
  const found = isMade ? [`${counts.done}/${rows.length} done`, ...parts].join(", ") : "no overview could be made";
  const left = `${printable(title)}: ${found}`;
  const right = ` ${localTime(atMs).slice(0, 5)}`;
  return columns === 0 ? left + right : cut(left, columns - right.length).padEnd(columns - right.length) + right;
}

function listLines(
  view: TopView,
  rows: readonly BoardRow[],
  widths: Widths,
  body: number,
  nowMs: number,
): ScreenLine[] {
  if (rows.length === 0 && view.snapshot !== null)
    return [{ text: view.find === "" ? "There are no rows." : "No row has this." }];
  const at = chosenIndex(view, rows);
  // The chosen row stays on the screen, in the middle where there is more on both sides.
  const first = Math.max(0, Math.min(at - Math.floor(body / 2), rows.length - body));
  return rows.slice(first, first + body).map((row, index) => ({
    text: rowText(row, widths, nowMs),
    state: row.state,
    chosen: first + index === at,
  }));
}

function detailLines(
  view: TopView,
  rows: readonly BoardRow[],
  { columns }: ScreenSize,
  body: number,
  nowMs: number,
): ScreenLine[] {
  const row = rows[chosenIndex(view, rows)];
  if (row === undefined) return [{ text: "This row is gone." }];
  const percent = percentOf(row);
  const steps = row.step === null ? null : `${row.step}${row.of === null ? "" : ` of ${row.of} (${percent} %)`}`;
  const facts: readonly (readonly [string, string | null])[] = [
    ["state", row.state],
    ["who", row.who],
    ["where", row.where],
    ["since", row.sinceMs === null ? null : `${clockText(row.sinceMs, nowMs)} (${ageText(row.sinceMs, nowMs)})`],
    ["progress", steps],
    ["last sign", row.signMs === null ? null : `${ageText(row.signMs, nowMs)} ago`],
    ["why", row.why === "" ? null : row.why],
    ...row.evidence.map((line) => ["evidence", line] as const),
    ...row.lastLines.map((line) => ["said last", line] as const),
    ["log", row.log],
    ["type", row.command],
  ];
  const lines = [printable(row.name), ""];
  for (const [title, text] of facts) if (text !== null) lines.push(...wrap(printable(text), columns, title.padEnd(11)));
  const from = Math.min(view.detailFrom ?? 0, Math.max(0, lines.length - body));
  return lines.slice(from, from + body).map((text) => ({ text }));
}

/** The text under its title, in lines that fit. */
function wrap(text: string, columns: number, title: string): string[] {
  const width = Math.max(10, columns - title.length);
  const characters = [...text];
  const parts = [];
  for (let at = 0; at === 0 || at < characters.length; at += width)
    parts.push(characters.slice(at, at + width).join(""));
  return parts.map((part, index) => (index === 0 ? title : " ".repeat(title.length)) + part);
}

function helpText({ typing, detailFrom }: TopView): string {
  if (typing) return "type words; Enter keeps them, Esc drops them";
  if (detailFrom !== null) return "up, down: scroll   Enter: back";
  return "up, down: move   /: filter   Enter: evidence   q: quit";
}

const sequences: Readonly<Record<string, string>> = {
  "\x1b[A": "up",
  "\x1bOA": "up",
  "\x1b[B": "down",
  "\x1bOB": "down",
  "\x1b[5~": "page-up",
  "\x1b[6~": "page-down",
  "\x1b[H": "home",
  "\x1b[1~": "home",
  "\x1b[F": "end",
  "\x1b[4~": "end",
  "\x1b": "escape",
  "\r": "enter",
  "\n": "enter",
  "\x7f": "backspace",
  "\b": "backspace",
  "\x03": "ctrl-c",
  "\x1a": "ctrl-z",
};

/** The keys in what a terminal sent at once: several, when somebody types fast or pastes. */
export function readKeys(text: string): string[] {
  const parts = text.match(/\x1b(?:\[[0-9;]*[~A-Za-z]|O[A-Za-z])?|[\s\S]/gu) ?? [];
  return parts.map((part) => sequences[part] ?? (part.startsWith("\x1b") ? "unknown" : part));
}
