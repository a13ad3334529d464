import { type RowState, rowStates } from "../grid/row-state.ts";
import { type BoardRow, percentOf, stuckStates } from "./board-row.ts";

export const sortKeys = ["name", "who", "since", "progress", "sign"] as const;
export type SortKey = (typeof sortKeys)[number];

/** What a viewer wants to see. Everything in it can be said in the address, so that it works without a script. */
export interface View {
  /** The fields of the matrix: down, across, and one table for each value of the third; null: one table. */
  readonly down: string;
  readonly across: string;
  readonly per: string | null;
  /** Words that a row has to have, all of them. */
  readonly find: string;
  readonly state: RowState | "stuck" | null;
  readonly sort: SortKey | null;
}

/** The view that an address asks for. What it asks for and there is not is left out: an old bookmark still shows the board. */
export function readView(query: URLSearchParams, names: readonly string[], standard: View): View {
  const field = (key: string, missing: string) => names.find((name) => name === query.get(key)) ?? missing;
  const per = query.get("per");
  return {
    down: field("down", standard.down),
    across: field("across", standard.across),
    per: per === "" ? null : (names.find((name) => name === per) ?? standard.per),
    find: (query.get("find") ?? "").slice(0, 200),
    state: query.get("state") === "stuck" ? "stuck" : (rowStates.find((state) => state === query.get("state")) ?? null),
    sort: sortKeys.find((key) => key === query.get("sort")) ?? null,
  };
}

/** The address of a view, relative to the page. */
export function viewAddress(view: View, standard: View): string {
  const query = new URLSearchParams();
  const say = (key: string, value: string | null, missing: string | null) => {
    if (value !== missing) query.set(key, value ?? "");
  };
  say("down", view.down, standard.down);
  say("across", view.across, standard.across);
  say("per", view.per, standard.per);
  say("find", view.find, "");
  say("state", view.state, null);
  say("sort", view.sort, null);
  const text = query.toString();
  return text === "" ? "./" : `?${text}`;
}

/** The rows of a view, the most urgent state first. */
export function rowsInView(rows: readonly BoardRow[], view: View): BoardRow[] {
  const words = view.find.toLowerCase().split(/\s+/).filter(Boolean);
  const order: readonly RowState[] = [...stuckStates, "running", "queued", "blocked", "free", "done"];
  const found = rows.filter((row) => {
    if (view.state === "stuck" && !stuckStates.includes(row.state)) return false;
    if (view.state !== null && view.state !== "stuck" && row.state !== view.state) return false;
    if (words.length === 0) return true;
    const text = [row.name, ...row.fields, row.state, row.who, row.where, row.why].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const { sort } = view;
  const rank = ({ state }: BoardRow) => order.indexOf(state);
  const byState = (a: BoardRow, b: BoardRow) => rank(a) - rank(b);
  return found.sort(sort === null ? byState : (a, b) => byState(a, b) || compare(keyOf(a, sort), keyOf(b, sort)));
}

/** What is not known comes last. */
function keyOf(row: BoardRow, sort: SortKey): string | number | null {
  switch (sort) {
    case "name":
      return row.name;
    case "who":
      return row.who;
    case "since":
      return row.sinceMs;
    case "progress":
      return percentOf(row) ?? row.step;
    case "sign":
      return row.signMs;
  }
}

function compare(a: string | number | null, b: string | number | null): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  return a < b ? -1 : a > b ? 1 : 0;
}
