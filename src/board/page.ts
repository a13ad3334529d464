import { type RowState, rowStates } from "../grid/row-state.ts";
import { localDateTime } from "../system/clock/local-time.ts";
import { stuckStates } from "./board-row.ts";
import { escapeHtml } from "./html.ts";
import { latelyHtml } from "./lately.ts";
import { matrixHtml } from "./matrix.ts";
import { restHtml, runningHtml, stuckHtml } from "./row-lists.ts";
import type { Snapshot } from "./snapshot.ts";
import { stateClass, stateMeaning } from "./state-words.ts";
import { rowsInView, type SortKey, type View, viewAddress } from "./view.ts";

/** What a page says beside its snapshot. */
export interface PageSettings {
  /** The grid's file, or what stands for it. */
  readonly title: string;
  /** The root, or nothing where paths are left out. */
  readonly place: string;
  readonly standard: View;
  /** The part of the page's head that brings style and script. */
  readonly head: string;
  /** At the end of the body. */
  readonly foot: string;
  /** Attributes of the whole document, which the script reads. */
  readonly data: Readonly<Record<string, string | number>>;
  /** Said behind the time of the snapshot. */
  readonly validity: string;
  /** Fields can only be chosen where a server can answer. */
  readonly canChoose: boolean;
}

/** The whole document. Pure: the same snapshot and view give the same page. */
export function pageHtml(snapshot: Snapshot, view: View, settings: PageSettings): string {
  const { title, place, standard, head, foot, data, validity } = settings;
  const { atMs, counts, names } = snapshot;
  const rows = rowsInView(snapshot.rows, view);
  const address = (sort: SortKey) => escapeHtml(viewAddress({ ...view, sort }, standard));
  const stuck = stuckStates.reduce((sum, state) => sum + counts[state], 0);
  const attributes = Object.entries({ ...data, version: snapshot.version, at: Math.round(atMs / 1000) })
    .map(([name, value]) => ` data-${name}="${escapeHtml(String(value))}"`)
    .join("");
  const time = localDateTime(atMs);
  return `<!doctype html>
<html lang=en${attributes}>
<head><meta charset=utf-8>
<title>${snapshot.isMade ? "" : "no overview, "}${stuck === 0 ? "" : `${stuck} stuck, `}${counts.running} running: ${escapeHtml(title)}</title>
<meta name=viewport content="width=device-width, initial-scale=1"><meta name=color-scheme content="light dark">
<meta name=robots content=noindex><link rel=icon href="data:,">${head}</head>
<body>
<a class=skip href=#stuck>Skip to what needs attention</a>
<header><h1>${escapeHtml(title)}${place === "" ? "" : ` <small>${escapeHtml(place)}</small>`}</h1>
<p id=asof>as of <time datetime="${new Date(atMs).toISOString()}">${time}</time> <span id=life>${escapeHtml(validity)}</span></p>
<p id=news class=vh role=status></p></header>
<main>
<section id=summary aria-label="Counts">${summaryHtml(snapshot, view, standard)}</section>
${findHtml(view, names, standard, settings.canChoose)}
<section id=stuck tabindex=-1 aria-label="Needs attention">${stuckHtml(rows, atMs, snapshot)}</section>
<section id=running aria-label="Running">${runningHtml(rows, view, address, snapshot)}</section>
<section id=lately aria-label="Lately">${latelyHtml(snapshot.lately, atMs)}</section>
<section id=matrix aria-label="Matrix"><h2>Matrix</h2>
<div class=tables>${matrixHtml(inGridOrder(snapshot, rows), names, view, atMs)}</div></section>
<section id=rest aria-label="Everything else">${restHtml(rows, address, snapshot)}</section>
</main>
<footer><dl>${rowStates.map((state) => `<div class=${stateClass[state]}><dt>${state}<dd>${stateMeaning[state]}</div>`).join("")}</dl>
<p>Nothing can be changed here: commands are there to be copied.</p></footer>
${foot}</body></html>
`;
}

/** The matrix keeps the order in which the grid is written, whatever is urgent. */
function inGridOrder(snapshot: Snapshot, rows: ReturnType<typeof rowsInView>) {
  const shown = new Set(rows);
  return snapshot.rows.filter((row) => shown.has(row));
}

const barOrder: readonly RowState[] = ["done", "running", "queued", "stale", "unknown", "failed", "blocked", "free"];

function summaryHtml({ counts, rows, next, problems, isMade }: Snapshot, view: View, standard: View): string {
  const total = rows.length;
  let x = 0;
  const parts = barOrder.map((state) => {
    const width = total === 0 ? 0 : (100 * counts[state]) / total;
    const rect =
      width === 0 ? "" : `<rect class=${stateClass[state]} x=${x.toFixed(2)} width=${width.toFixed(2)} height=4 />`;
    x += width;
    return rect;
  });
  const links = barOrder.flatMap((state) => {
    if (counts[state] === 0) return [];
    const chosen = view.state === state;
    const href = escapeHtml(viewAddress({ ...view, state: chosen ? null : state }, standard));
    const current = chosen ? " aria-current=true" : "";
    return [
      `<li><a class=${stateClass[state]} href="${href}" data-state=${state}${current}><b>${counts[state]}</b> ${state}</a>`,
    ];
  });
  const percent = total === 0 ? 0 : Math.floor((100 * counts.done) / total);
  const faults = problems.map((text) => `<p class=problem role=alert>${escapeHtml(text)}</p>`).join("");
  if (!isMade) return `<p class="big none" role=alert><b>No overview could be made.</b></p>${faults}`;
  const command = next === null ? "" : `<p class=next>Next: <code>${escapeHtml(next)}</code></p>`;
  return (
    `${faults}<p class=big><b>${counts.done}</b> of <b>${total}</b> done <span>${percent} %</span></p>` +
    `<svg class=bar viewBox="0 0 100 4" preserveAspectRatio=none aria-hidden=true>${parts.join("")}</svg>` +
    `<ul class=counts>${links.join("")}</ul>${command}`
  );
}

function findHtml(view: View, names: readonly string[], standard: View, canChoose: boolean): string {
  const option = (value: string, text: string, chosen: boolean, attributes = "") =>
    `<option value="${escapeHtml(value)}"${chosen ? " selected" : ""}${attributes}>${escapeHtml(text)}`;
  const fields = (chosen: string | null) => names.map((name) => option(name, name, name === chosen)).join("");
  // The page's script finds the rows of a choice by these classes.
  const stateOption = (value: NonNullable<View["state"]>, of: readonly RowState[]) =>
    option(value, value, view.state === value, ` data-classes=${of.map((state) => stateClass[state]).join("")}`);
  const states = [
    option("", "any state", view.state === null),
    stateOption("stuck", stuckStates),
    ...rowStates.map((state) => stateOption(state, [state])),
  ];
  const axes = canChoose
    ? `<label>Down <select name=down>${fields(view.down)}</select></label>` +
      `<label>Across <select name=across>${fields(view.across)}</select></label>` +
      `<label>A table for each <select name=per>${option("", "nothing", view.per === null)}${fields(view.per)}</select></label>`
    : "";
  const all = viewAddress(view, standard) === "./" ? "" : ` <a href="./">Show all</a>`;
  return (
    `<form id=find role=search aria-label="Filter"><label>Find <input name=find type=search value="${escapeHtml(view.find)}" ` +
    `autocomplete=off spellcheck=false placeholder="gen_ alice node01"></label>` +
    `<label>State <select name=state>${states.join("")}</select></label>${axes}<button>Show</button>${all}</form>`
  );
}
